//! Made-up YAML: trees with the style of each node, and their text.

/// A node as it is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tree {
    /// Tag and anchor, with a blank behind.
    pub(crate) mark: String,
    pub(crate) content: Content,
    /// Whether it stands in brackets.
    pub(crate) flow: bool,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    /// A scalar on one line, quotes included.
    Scalar(String),
    /// A header such as `|-`, and lines; only outside of brackets.
    Block(String, Vec<String>),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Tree {
    pub(crate) fn scalar(text: impl Into<String>) -> Self {
        Self { mark: String::new(), content: Content::Scalar(text.into()), flow: false }
    }

    pub(crate) fn list(items: Vec<Self>) -> Self {
        Self { mark: String::new(), content: Content::List(items), flow: false }
    }

    pub(crate) fn map(entries: Vec<(String, Self)>) -> Self {
        Self { mark: String::new(), content: Content::Map(entries), flow: false }
    }

    /// Returns the nodes right below.
    pub(crate) fn children_mut(&mut self) -> Vec<&mut Self> {
        match &mut self.content {
            Content::Scalar(_) | Content::Block(..) => Vec::new(),
            Content::List(items) => items.iter_mut().collect(),
            Content::Map(entries) => entries.iter_mut().map(|(_, value)| value).collect(),
        }
    }

    /// Returns the entries of a mapping.
    pub(crate) fn entries_mut(&mut self) -> Option<&mut Vec<(String, Self)>> {
        if let Content::Map(entries) = &mut self.content { Some(entries) } else { None }
    }

    /// Writes a document.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        self.block(&mut out, 0, true);
        out
    }

    fn is_flow(&self) -> bool {
        let empty = match &self.content {
            Content::Scalar(_) => true,
            Content::Block(..) => false,
            Content::List(items) => items.is_empty(),
            Content::Map(entries) => entries.is_empty(),
        };
        self.flow || empty
    }

    /// Writes the node after a key or a dash; `first` if nothing stands before it.
    fn block(&self, out: &mut String, indent: usize, first: bool) {
        let blank = if first { "" } else { " " };
        if self.is_flow() {
            *out += &format!("{blank}{}{}\n", self.mark, self.in_brackets());
            return;
        }
        let mark = self.mark.trim_end();
        if !mark.is_empty() {
            *out += &format!("{blank}{mark}");
        }
        let pad = " ".repeat(indent);
        match &self.content {
            Content::Scalar(_) => {}
            Content::Block(header, lines) => {
                *out += &format!(" {header}\n");
                for line in lines {
                    *out += &format!("{pad}  {line}\n");
                }
            }
            Content::List(items) => {
                if !first || !mark.is_empty() {
                    out.push('\n');
                }
                for item in items {
                    *out += &format!("{pad}-");
                    item.block(out, indent + 2, false);
                }
            }
            Content::Map(entries) => {
                if !first || !mark.is_empty() {
                    out.push('\n');
                }
                for (key, value) in entries {
                    *out += &format!("{pad}{key}:");
                    value.block(out, indent + 2, false);
                }
            }
        }
    }

    fn in_brackets(&self) -> String {
        match &self.content {
            Content::Scalar(text) => text.clone(),
            Content::Block(_, lines) => format!("'{}'", lines.join(" ").replace('\'', "''")),
            Content::List(items) => {
                let items = items.iter().map(|item| format!("{}{}", item.mark, item.in_brackets()));
                format!("[{}]", items.collect::<Vec<_>>().join(", "))
            }
            Content::Map(entries) => {
                let entry =
                    |(key, value): &(String, Self)| format!("{key}: {}{}", value.mark, value.in_brackets());
                format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
            }
        }
    }
}
