//! A table as a batch of messages, which the kernel carries out wholly or not at all.
//!
//! ```text
//! begin ─ table (adopted or made) ─ table deleted ─ table made ─ chains ─ sets ─ elements ─ rules ─ end
//! ```
//!
//! The first of the three makes the deletion succeed whether there is a table or not, and takes over one that an
//! engine before us has left. Chains come before the maps whose verdicts lead to them, sets before the rules that use
//! them.
//!
//! Source: Linux `include/uapi/linux/netfilter/nf_tables.h`, `nfnetlink.h`.

use std::fmt;

use super::expression::{NFTA_DATA_VALUE, NFTA_DATA_VERDICT, write_rule, write_verdict};
use super::rule::Rule;
use super::set::{Data, Element, Set, Target};
use super::table::{Chain, Family, Hook, Table};
use super::value::{Type, Value};
use crate::attribute::{Writer, find};
use crate::netlink::{Batch, flag};

/// The part of netfilter that messages are for.
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFNL_MSG_BATCH_BEGIN: u16 = 16;
const NFNL_MSG_BATCH_END: u16 = 17;

const NFT_MSG_NEWTABLE: u16 = 0;
const NFT_MSG_GETTABLE: u16 = 1;
const NFT_MSG_DELTABLE: u16 = 2;
const NFT_MSG_NEWCHAIN: u16 = 3;
pub(crate) const NFT_MSG_GETCHAIN: u16 = 4;
pub(crate) const NFT_MSG_NEWRULE: u16 = 6;
pub(crate) const NFT_MSG_GETRULE: u16 = 7;
pub(crate) const NFT_MSG_DELRULE: u16 = 8;
const NFT_MSG_NEWSET: u16 = 9;
const NFT_MSG_NEWSETELEM: u16 = 12;

const NFTA_TABLE_NAME: u16 = 1;
const NFTA_TABLE_FLAGS: u16 = 2;
const NFTA_LIST_ELEM: u16 = 1;

/// An attribute has room for 64 KiB; elements go into several messages before that.
const ELEMENTS_IN_A_MESSAGE: usize = 32 << 10;

/// Who may change a table beside the one who made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// Nobody, and it outlives its maker: `nft flush ruleset` passes it by. Linux 6.9 and later.
    OwnedAndPersistent,
    /// Everybody with the right to.
    Shared,
}

/// Messages, and what each one is about.
#[derive(Debug, Default)]
pub(crate) struct Transaction<'a> {
    batch: Batch,
    subjects: Vec<Subject<'a>>,
}

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject<'a> {
    /// The batch as such.
    Batch,
    /// The table.
    Table,
    /// A chain.
    Chain(&'a Chain),
    /// A set, or elements of it.
    Set(&'a Set),
    /// A rule.
    Rule(&'a Chain, &'a Rule),
}

impl<'a> Transaction<'a> {
    /// Returns what puts `tables` in the place of those that have their names. `found` says how those were made.
    pub(crate) fn replace(tables: &'a [Table], found: Ownership, wanted: Ownership) -> Self {
        let mut transaction = Self::default();
        transaction.begin();
        for table in tables {
            transaction.replace_one(table, found, wanted);
        }
        transaction.end()
    }

    fn replace_one(&mut self, table: &'a Table, found: Ownership, wanted: Ownership) {
        self.table(NFT_MSG_NEWTABLE, table.family, &table.name, found);
        self.table(NFT_MSG_DELTABLE, table.family, &table.name, Ownership::Shared);
        self.table(NFT_MSG_NEWTABLE, table.family, &table.name, wanted);
        for chain in &table.chains {
            self.chain(table, chain);
        }
        for set in &table.sets {
            self.set(table, set);
            self.elements(table, set);
        }
        for chain in &table.chains {
            for rule in &chain.rules {
                self.rule(table, chain, rule);
            }
        }
    }

    /// Returns what deletes the tables of this name, whether they are there or not.
    pub(crate) fn remove(families: &[Family], name: &str, found: Ownership) -> Self {
        let mut transaction = Self::default();
        transaction.begin();
        for family in families {
            transaction.table(NFT_MSG_NEWTABLE, *family, name, found);
            transaction.table(NFT_MSG_DELTABLE, *family, name, Ownership::Shared);
        }
        transaction.end()
    }

    /// Takes it apart into what is sent, and what each message, counted from 1, is about.
    pub(crate) fn into_parts(self) -> (Batch, Vec<Subject<'a>>) {
        (self.batch, self.subjects)
    }

    fn begin(&mut self) {
        self.subjects.push(Subject::Batch);
        self.batch.push(NFNL_MSG_BATCH_BEGIN, flag::CHANGE, batch_body);
    }

    fn end(mut self) -> Self {
        self.subjects.push(Subject::Batch);
        self.batch.push_last(NFNL_MSG_BATCH_END, flag::CHANGE, batch_body);
        self
    }

    fn push(&mut self, subject: Subject<'a>, kind: u16, family: Family, write: impl FnOnce(&mut Writer<'_>)) {
        let flags = match kind {
            NFT_MSG_DELTABLE => flag::CHANGE,
            NFT_MSG_NEWRULE => flag::APPEND,
            _ => flag::CREATE,
        };
        self.subjects.push(subject);
        self.batch.push(message_type(kind), flags, |bytes| {
            bytes.extend_from_slice(&[family.number(), 0, 0, 0]);
            write(&mut Writer::new(bytes));
        });
    }

    fn table(&mut self, kind: u16, family: Family, name: &str, ownership: Ownership) {
        const NFT_TABLE_F_OWNER: u32 = 2;
        const NFT_TABLE_F_PERSIST: u32 = 4;
        self.push(Subject::Table, kind, family, |writer| {
            writer.text(NFTA_TABLE_NAME, name);
            match ownership {
                Ownership::OwnedAndPersistent => {
                    writer.number(NFTA_TABLE_FLAGS, NFT_TABLE_F_OWNER | NFT_TABLE_F_PERSIST);
                }
                Ownership::Shared => {}
            }
        });
    }

    fn chain(&mut self, table: &Table, chain: &'a Chain) {
        const NFTA_CHAIN_TABLE: u16 = 1;
        const NFTA_CHAIN_NAME: u16 = 3;
        const NFTA_CHAIN_HOOK: u16 = 4;
        const NFTA_CHAIN_TYPE: u16 = 7;
        const NFTA_HOOK_HOOKNUM: u16 = 1;
        const NFTA_HOOK_PRIORITY: u16 = 2;
        self.push(Subject::Chain(chain), NFT_MSG_NEWCHAIN, table.family, |writer| {
            writer.text(NFTA_CHAIN_TABLE, &table.name);
            writer.text(NFTA_CHAIN_NAME, &chain.name);
            if let Some(Hook { kind, point, priority }) = chain.hook {
                writer.nested(NFTA_CHAIN_HOOK, |hook| {
                    hook.number(NFTA_HOOK_HOOKNUM, point.number());
                    hook.number(NFTA_HOOK_PRIORITY, priority.number().cast_unsigned());
                });
                writer.text(NFTA_CHAIN_TYPE, kind.word());
            }
        });
    }

    fn set(&mut self, table: &Table, set: &'a Set) {
        const NFTA_SET_TABLE: u16 = 1;
        const NFTA_SET_NAME: u16 = 2;
        const NFTA_SET_FLAGS: u16 = 3;
        const NFTA_SET_KEY_TYPE: u16 = 4;
        const NFTA_SET_KEY_LEN: u16 = 5;
        const NFTA_SET_DATA_TYPE: u16 = 6;
        const NFTA_SET_DATA_LEN: u16 = 7;
        const NFTA_SET_ID: u16 = 10;
        const NFTA_SET_USERDATA: u16 = 13;
        const NFT_SET_INTERVAL: u32 = 4;
        const NFT_SET_MAP: u32 = 8;
        const NFT_DATA_VERDICT: u32 = 0xffff_ff00;
        let number = self.subjects.len() as u32;
        self.push(Subject::Set(set), NFT_MSG_NEWSET, table.family, |writer| {
            let interval = if set.interval { NFT_SET_INTERVAL } else { 0 };
            let map = if set.data == Data::Nothing { 0 } else { NFT_SET_MAP };
            writer.text(NFTA_SET_TABLE, &table.name);
            writer.text(NFTA_SET_NAME, &set.name);
            writer.number(NFTA_SET_FLAGS, interval | map);
            writer.number(NFTA_SET_KEY_TYPE, concatenated_code(set.key));
            writer.number(NFTA_SET_KEY_LEN, concatenated_len(set.key));
            match set.data {
                Data::Nothing => {}
                Data::Verdicts => writer.number(NFTA_SET_DATA_TYPE, NFT_DATA_VERDICT),
                Data::Values(types) => {
                    writer.number(NFTA_SET_DATA_TYPE, concatenated_code(types));
                    writer.number(NFTA_SET_DATA_LEN, concatenated_len(types));
                }
            }
            writer.number(NFTA_SET_ID, number);
            if matches!(set.key, [single] if single.is_native()) {
                writer.bytes(NFTA_SET_USERDATA, &KEYS_ARE_IN_NATIVE_ORDER);
            }
        });
    }

    fn elements(&mut self, table: &Table, set: &'a Set) {
        const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
        const NFTA_SET_ELEM_LIST_SET: u16 = 2;
        const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
        let mut rest = set.elements.iter().peekable();
        while rest.peek().is_some() {
            self.push(Subject::Set(set), NFT_MSG_NEWSETELEM, table.family, |writer| {
                writer.text(NFTA_SET_ELEM_LIST_TABLE, &table.name);
                writer.text(NFTA_SET_ELEM_LIST_SET, &set.name);
                writer.nested(NFTA_SET_ELEM_LIST_ELEMENTS, |writer| {
                    let full = writer.len() + ELEMENTS_IN_A_MESSAGE;
                    while let Some(element) = rest.next_if(|_| writer.len() < full) {
                        write_element(element, writer);
                    }
                });
            });
        }
    }

    fn rule(&mut self, table: &Table, chain: &'a Chain, rule: &'a Rule) {
        const NFTA_RULE_TABLE: u16 = 1;
        const NFTA_RULE_CHAIN: u16 = 2;
        const NFTA_RULE_EXPRESSIONS: u16 = 4;
        self.push(Subject::Rule(chain, rule), NFT_MSG_NEWRULE, table.family, |writer| {
            writer.text(NFTA_RULE_TABLE, &table.name);
            writer.text(NFTA_RULE_CHAIN, &chain.name);
            writer.nested(NFTA_RULE_EXPRESSIONS, |writer| write_rule(rule, table.family, writer));
        });
    }
}

/// Returns what `write` writes as one transaction.
pub(crate) fn transaction(write: impl FnOnce(&mut Batch)) -> Batch {
    let mut batch = Batch::default();
    batch.push(NFNL_MSG_BATCH_BEGIN, flag::CHANGE, batch_body);
    write(&mut batch);
    batch.push_last(NFNL_MSG_BATCH_END, flag::CHANGE, batch_body);
    batch
}

/// Returns the question whether there is a table of this name.
pub(crate) fn get_table(family: Family, name: &str) -> Batch {
    let mut batch = Batch::default();
    batch.push(message_type(NFT_MSG_GETTABLE), flag::CHANGE, |bytes| {
        bytes.extend_from_slice(&[family.number(), 0, 0, 0]);
        Writer::new(bytes).text(NFTA_TABLE_NAME, name);
    });
    batch
}

/// Returns the question which tables there are, of all families.
pub(crate) fn list_tables() -> Batch {
    let mut batch = Batch::default();
    batch.push(message_type(NFT_MSG_GETTABLE), flag::DUMP, |bytes| bytes.extend_from_slice(&[0; 4]));
    batch
}

/// Returns the name of a table that the kernel tells of.
pub(crate) fn table_name(body: &[u8]) -> Option<String> {
    let name = find(body.get(4..)?, NFTA_TABLE_NAME)?;
    Some(String::from_utf8_lossy(name.strip_suffix(&[0]).unwrap_or(name)).into_owned())
}

/// What `nft` keeps beside a set whose keys are in native order: a kind, a length, and the value 1 in four bytes.
const KEYS_ARE_IN_NATIVE_ORDER: [u8; 6] = {
    let [a, b, c, d] = 1_u32.to_ne_bytes();
    [0, 4, a, b, c, d]
};

/// Returns the kind of a message to nf_tables, by its number there.
pub(crate) fn message_type(kind: u16) -> u16 {
    NFNL_SUBSYS_NFTABLES << 8 | kind
}

fn batch_body(bytes: &mut Vec<u8>) {
    let [high, low] = NFNL_SUBSYS_NFTABLES.to_be_bytes();
    bytes.extend_from_slice(&[0, 0, high, low]);
}

/// Returns the code of a concatenation: six bits a type.
fn concatenated_code(types: &[Type]) -> u32 {
    types.iter().fold(0, |code, part| code << 6 | part.code())
}

/// Returns how many bytes a concatenation takes: each part fills its registers, a single value does not.
fn concatenated_len(types: &[Type]) -> u32 {
    match types {
        [single] => single.len() as u32,
        parts => parts.iter().map(|part| part.registers() as u32 * 4).sum(),
    }
}

fn concatenated(values: &[Value]) -> Vec<u8> {
    if let [single] = values {
        return single.bytes();
    }
    let mut bytes = Vec::new();
    for value in values {
        bytes.extend(value.bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

/// Writes an element. A network takes two: where it begins, and behind its end.
fn write_element(element: &Element, writer: &mut Writer<'_>) {
    const NFTA_SET_ELEM_FLAGS: u16 = 3;
    const NFT_SET_ELEM_INTERVAL_END: u32 = 1;
    writer.nested(NFTA_LIST_ELEM, |writer| {
        write_key(&concatenated(&element.key), writer);
        write_target(&element.target, writer);
    });
    if let [Value::Network(net)] = element.key.as_slice()
        && let Some(behind) = Value::behind(net)
    {
        writer.nested(NFTA_LIST_ELEM, |writer| {
            write_key(&behind, writer);
            writer.number(NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
        });
    }
}

fn write_key(key: &[u8], writer: &mut Writer<'_>) {
    const NFTA_SET_ELEM_KEY: u16 = 1;
    writer.nested(NFTA_SET_ELEM_KEY, |writer| writer.bytes(NFTA_DATA_VALUE, key));
}

fn write_target(target: &Target, writer: &mut Writer<'_>) {
    const NFTA_SET_ELEM_DATA: u16 = 2;
    match target {
        Target::Nothing => {}
        Target::Verdict(verdict) => writer.nested(NFTA_SET_ELEM_DATA, |writer| {
            writer.nested(NFTA_DATA_VERDICT, |writer| write_verdict(verdict, writer));
        }),
        Target::Values(values) => writer.nested(NFTA_SET_ELEM_DATA, |writer| {
            writer.bytes(NFTA_DATA_VALUE, &concatenated(values));
        }),
    }
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch => f.write_str("the transaction"),
            Self::Table => f.write_str("the table"),
            Self::Chain(chain) => write!(f, "chain `{}`", chain.name),
            Self::Set(set) => write!(f, "set `{}`", set.name),
            Self::Rule(chain, rule) => write!(f, "rule `{rule}` of chain `{}`", chain.name),
        }
    }
}
