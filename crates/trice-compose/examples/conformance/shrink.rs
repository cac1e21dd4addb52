//! The smallest case that still differs in the same way.

use crate::case::{Case, Text, mistakes};
use crate::yaml::{Content, Tree};

/// Takes away from `case` whatever `differs` does not need.
pub(crate) fn shrink(case: &Case, differs: &mut dyn FnMut(&Case) -> bool) -> Case {
    /// More is not worth the time.
    const MOST: usize = 250;
    let mut best = case.clone();
    let mut tries = 0;
    loop {
        let before = tries;
        let mut at = 0;
        while let Some(smaller) = smaller(&best, at) {
            tries += 1;
            if tries > MOST {
                return best;
            }
            if differs(&smaller) { best = smaller } else { at += 1 }
        }
        if at + before >= tries {
            return best;
        }
    }
}

/// Takes attributes away from `case` until we accept it, as far as that is possible.
pub(crate) fn mend(mut case: Case) -> Case {
    let mut left = mistakes(&case);
    let mut at = 0;
    while left > 0 {
        let Some(smaller) = smaller(&case, case.flags.len() + at) else { break };
        let fewer = mistakes(&smaller);
        if fewer < left {
            (case, left) = (smaller, fewer);
        } else {
            at += 1;
        }
    }
    case
}

/// Returns the case without its part number `at`.
fn smaller(case: &Case, at: usize) -> Option<Case> {
    let mut left = at;
    let mut smaller = case.clone();
    if left < smaller.flags.len() {
        smaller.flags.remove(left);
        return Some(smaller);
    }
    left -= smaller.flags.len();
    for (_, text) in &mut smaller.files {
        let done = match text {
            Text::Tree(tree) => cut(tree, &mut left),
            Text::Plain(plain) => cut_text(plain, &mut left),
        };
        if done {
            return Some(smaller);
        }
    }
    None
}

/// Cuts part number `left` out of `tree`; counts down otherwise.
fn cut(tree: &mut Tree, left: &mut usize) -> bool {
    if !tree.mark.is_empty() {
        if *left == 0 {
            tree.mark.clear();
            return true;
        }
        *left -= 1;
    }
    let count = match &mut tree.content {
        Content::Scalar(_) | Content::Block(..) => 0,
        Content::List(items) => {
            if *left < items.len() {
                items.remove(*left);
                return true;
            }
            items.len()
        }
        Content::Map(entries) => {
            if *left < entries.len() {
                entries.remove(*left);
                return true;
            }
            entries.len()
        }
    };
    *left -= count;
    tree.children_mut().into_iter().any(|child| cut(child, left))
}

/// Cuts a line, or a character, out of a text.
fn cut_text(text: &mut String, left: &mut usize) -> bool {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    if *left < lines.len() {
        let kept: Vec<&str> =
            lines.iter().enumerate().filter(|(at, _)| at != left).map(|(_, line)| *line).collect();
        *text = kept.concat();
        return true;
    }
    *left -= lines.len();
    let characters = text.chars().count();
    if characters < 60 && *left < characters {
        *text = text.chars().enumerate().filter(|(at, _)| at != left).map(|(_, c)| c).collect();
        return true;
    }
    *left -= characters.min(*left);
    false
}
