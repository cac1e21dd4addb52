//! Packet filters of others on this machine, and room for our packets among them.
//!
//! ```text
//! a packet of ours ──► our table: accepted ──► theirs: policy drop ──► gone
//!                                               └── before its end: `iifname tr4f2a* accept`, ours
//! ```
//!
//! Every table has its say about every packet, and one that drops wins: that of Docker, of ufw, of firewalld. Rules of
//! ours at the end of their chains let through what goes to and from our bridges; what their own rules turn away by
//! name stays turned away, and our own table keeps networks apart as ever. They bear a comment, by which they are
//! found and taken away again. When others write their tables anew, ours are gone, and are put there again.
//!
//! Source: Linux `include/uapi/linux/netfilter/nf_tables.h`; iptables(8), "FORWARD".

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;

use rustix::io::Errno;
use trice_model::name::LinkName;

use crate::attribute::{Writer, attributes, find, find_at};
use crate::netlink::{Batch, Netlink, NetlinkError, flag};
use crate::nftables::TableOwner;
use crate::nftables::expression::{accept_from, accept_to};
use crate::nftables::message::{
    NFT_MSG_DELRULE, NFT_MSG_GETCHAIN, NFT_MSG_GETRULE, NFT_MSG_NEWRULE, message_type, transaction,
};
use crate::nftables::table::Family;

/// Why packet filters of others were not seen, or not changed.
#[derive(Debug, thiserror::Error)]
pub enum NeighbourError {
    /// The kernel does not tell of them.
    #[error("look at the packet filters of others")]
    Look(#[source] NetlinkError),
    /// A rule of ours was refused.
    #[error("let packets of our networks through chain `{chain}`")]
    Change {
        /// Their chain.
        chain: Box<Neighbour>,
        /// What the kernel said.
        #[source]
        source: NetlinkError,
    },
}

/// A chain of somebody else's that drops what nothing in it lets through.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbour {
    family: &'static str,
    number: u8,
    /// The table's name.
    pub table: String,
    /// The chain's name.
    pub chain: String,
    /// Which packets it sees.
    pub sees: Sees,
    /// Where rules of ours go: before the rule of this handle, or at the end.
    before: Option<u64>,
    /// Handles of rules of ours that are in it.
    ours: Vec<u64>,
}

impl Neighbour {
    /// Tells whether rules of ours are in it.
    pub fn lets_us_through(&self) -> bool {
        !self.ours.is_empty()
    }

    /// Returns the command that lets through what goes to and from links whose names begin with `prefix`.
    pub fn command(&self, prefix: &str) -> String {
        if self.table == "firewalld" {
            // firewalld takes no wildcards, and forgets with a reload what is not permanent: as our links.
            return format!(
                "for link in $(ls /sys/class/net | grep '^{prefix}'); do \
                 firewall-cmd --zone=trusted --add-interface=$link; done"
            );
        }
        let rule = |side: &str| format!("nft insert rule {self} {side} \"{prefix}*\" accept");
        format!("{}; {}", rule("iifname"), rule("oifname"))
    }
}

/// Which packets a chain sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sees {
    /// Those for this machine.
    Input,
    /// Those that pass through it.
    Forward,
}

impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.family, self.table, self.chain)
    }
}

/// What packet filters of others there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// Chains that drop what nothing in them lets through.
    pub closed: Vec<Neighbour>,
    /// The names by which people know who turns away what is for this machine.
    pub firewalls: Vec<String>,
    /// There are tables of the older kind, which are not ours to see.
    pub legacy: bool,
}

impl Neighbours {
    /// Returns those that drop what passes through this machine.
    pub fn forward(&self) -> impl Iterator<Item = &Neighbour> {
        self.closed.iter().filter(|chain| chain.sees == Sees::Forward)
    }

    /// Tells whether packets of our networks are let through, as far as it is in our hands.
    pub fn are_open(&self) -> bool {
        self.forward().all(|chain| !chain.ours.is_empty())
    }
}

/// Looks at the packet filters of the network namespace of `owner`. Tables whose names begin with `trice-` are
/// ours, or another engine's; rules with the comment `mark` are ours.
///
/// # Errors
/// [`NeighbourError::Look`].
pub fn look(owner: &mut TableOwner, mark: &str) -> Result<Neighbours, NeighbourError> {
    let netlink = owner.netlink();
    let chains = chains(netlink).map_err(NeighbourError::Look)?;
    let mut neighbours = Neighbours { legacy: has_legacy_tables(), ..Neighbours::default() };
    let mut names = BTreeSet::new();
    for (family, table) in tables_with_hooks(&chains) {
        let rules = rules(netlink, family, &table).map_err(NeighbourError::Look)?;
        let of_table = || chains.iter().filter(|chain| chain.family == family && chain.table == table);
        for chain in of_table() {
            let Some(sees) = chain.sees else { continue };
            let own = rules.get(&chain.name).map(Vec::as_slice).unwrap_or_default();
            let end = own.iter().find(|rule| rule.closes(&rules, 0));
            let policy_drops = chain.drops && !chain.name.is_empty();
            if !policy_drops && end.is_none() {
                continue;
            }
            if sees == Sees::Input {
                names.insert(known_as(&table, family, of_table()));
            }
            neighbours.closed.push(Neighbour {
                family: family.word(),
                number: family.number(),
                table: table.clone(),
                chain: chain.name.clone(),
                sees,
                before: end.map(|rule| rule.handle),
                ours: own.iter().filter(|rule| rule.is_marked(mark)).map(|rule| rule.handle).collect(),
            });
        }
    }
    neighbours.firewalls = names.into_iter().collect();
    Ok(neighbours)
}

/// Puts rules into all closed chains that let through what goes to and from links whose names begin with `prefix`, and
/// `others`. Those that are there are put in anew.
///
/// # Errors
/// All chains that cannot be changed; the others are.
pub fn admit(
    owner: &mut TableOwner,
    neighbours: &Neighbours,
    mark: &str,
    prefix: &str,
    others: &[LinkName],
) -> Result<(), Vec<NeighbourError>> {
    let write = |chain: &Neighbour, batch: &mut Batch| {
        chain.push_removals(batch);
        let names = std::iter::once((prefix, false)).chain(others.iter().map(|link| (link.as_str(), true)));
        for (name, whole) in names {
            chain.push_rule(batch, mark, |writer| accept_from(name, whole, writer));
            chain.push_rule(batch, mark, |writer| accept_to(name, whole, writer));
        }
    };
    change_all(owner, neighbours.forward(), write)
}

/// Takes our rules away again.
///
/// # Errors
/// All chains that cannot be changed; the others are.
pub fn withdraw(owner: &mut TableOwner, neighbours: &Neighbours) -> Result<(), Vec<NeighbourError>> {
    let with_ours = neighbours.closed.iter().filter(|chain| !chain.ours.is_empty());
    change_all(owner, with_ours, Neighbour::push_removals)
}

fn change_all<'a>(
    owner: &mut TableOwner,
    chains: impl Iterator<Item = &'a Neighbour>,
    write: impl Fn(&Neighbour, &mut Batch),
) -> Result<(), Vec<NeighbourError>> {
    let mut errors = Vec::new();
    for chain in chains {
        let change = |source| NeighbourError::Change { chain: Box::new(chain.clone()), source };
        let batch = transaction(|batch| write(chain, batch));
        match owner.netlink().perform(batch) {
            // The chain, or a rule of ours in it, went while we looked at another one: whoever did that is seen next.
            Err(error) if error.refusal() == Some(Errno::NOENT) => {}
            other => errors.extend(other.map_err(change).err()),
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_HANDLE: u16 = 3;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_RULE_POSITION: u16 = 6;
const NFTA_RULE_USERDATA: u16 = 7;

impl Neighbour {
    fn push_removals(&self, batch: &mut Batch) {
        for handle in &self.ours {
            batch.push(message_type(NFT_MSG_DELRULE), flag::CHANGE, |bytes| {
                bytes.extend_from_slice(&[self.number, 0, 0, 0]);
                let mut writer = Writer::new(bytes);
                writer.text(NFTA_RULE_TABLE, &self.table);
                writer.text(NFTA_RULE_CHAIN, &self.chain);
                writer.bytes(NFTA_RULE_HANDLE, &handle.to_be_bytes());
            });
        }
    }

    fn push_rule(&self, batch: &mut Batch, mark: &str, expressions: impl Fn(&mut Writer<'_>)) {
        let flags = if self.before.is_some() { flag::CREATE } else { flag::APPEND };
        batch.push(message_type(NFT_MSG_NEWRULE), flags, |bytes| {
            bytes.extend_from_slice(&[self.number, 0, 0, 0]);
            let mut writer = Writer::new(bytes);
            writer.text(NFTA_RULE_TABLE, &self.table);
            writer.text(NFTA_RULE_CHAIN, &self.chain);
            writer.nested(NFTA_RULE_EXPRESSIONS, expressions);
            if let Some(handle) = self.before {
                writer.bytes(NFTA_RULE_POSITION, &handle.to_be_bytes());
            }
            writer.bytes(NFTA_RULE_USERDATA, &comment(mark));
        });
    }
}

/// Returns a comment as `nft` keeps it beside a rule: a kind, a length, and the text with the zero that ends it.
fn comment(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len() + 1).unwrap_or(u8::MAX);
    [&[0, length], text.as_bytes(), &[0]].concat()
}

/// A chain as the kernel tells of it.
struct Chain {
    family: Family,
    table: String,
    name: String,
    /// Which packets it sees, of those that matter here.
    sees: Option<Sees>,
    /// It drops what comes to its end.
    drops: bool,
}

fn chains(netlink: &mut Netlink) -> Result<Vec<Chain>, NetlinkError> {
    let mut batch = Batch::default();
    batch.push(message_type(NFT_MSG_GETCHAIN), flag::DUMP, |bytes| bytes.extend_from_slice(&[0; 4]));
    let found = netlink.dump(&batch, |_, body| Ok(chain_of(body)))?;
    Ok(found.into_iter().flatten().filter(|chain| !chain.table.starts_with("trice-")).collect())
}

fn chain_of(body: &[u8]) -> Option<Chain> {
    const NFTA_CHAIN_TABLE: u16 = 1;
    const NFTA_CHAIN_NAME: u16 = 3;
    const NFTA_CHAIN_HOOK: u16 = 4;
    const NFTA_CHAIN_POLICY: u16 = 5;
    const NFTA_CHAIN_TYPE: u16 = 7;
    const NFTA_HOOK_HOOKNUM: u16 = 1;
    const DROP: u32 = 0;
    let (family, rest) = (Family::of(*body.first()?)?, body.get(4..)?);
    let is_filter = find(rest, NFTA_CHAIN_TYPE).and_then(text).as_deref() == Some("filter");
    let hook = find_at(rest, &[NFTA_CHAIN_HOOK, NFTA_HOOK_HOOKNUM]).and_then(number);
    Some(Chain {
        family,
        table: find(rest, NFTA_CHAIN_TABLE).and_then(text)?,
        name: find(rest, NFTA_CHAIN_NAME).and_then(text)?,
        sees: match hook.filter(|_| is_filter) {
            Some(1) => Some(Sees::Input),
            Some(2) => Some(Sees::Forward),
            Some(_) | None => None,
        },
        drops: find(rest, NFTA_CHAIN_POLICY).and_then(number) == Some(DROP),
    })
}

/// Returns the tables with a chain that matters here.
fn tables_with_hooks(chains: &[Chain]) -> BTreeSet<(Family, String)> {
    let matter = chains.iter().filter(|chain| chain.sees.is_some());
    matter.map(|chain| (chain.family, chain.table.clone())).collect()
}

/// A rule as the kernel tells of it.
struct Rule {
    handle: u64,
    comment: Vec<u8>,
    /// It is about every packet.
    unconditional: bool,
    end: End,
}

/// What becomes of the packets that a rule is about.
#[derive(PartialEq, Eq)]
enum End {
    /// They are turned away.
    TurnedAway,
    /// They go through this chain.
    Chain(String),
    /// Anything else.
    Else,
}

type Rules = BTreeMap<String, Vec<Rule>>;

impl Rule {
    fn is_marked(&self, mark: &str) -> bool {
        self.comment == comment(mark)
    }

    /// Tells whether no packet gets past the rule.
    fn closes(&self, all: &Rules, depth: usize) -> bool {
        /// As deep as the kernel lets chains lead to chains.
        const DEEPEST: usize = 16;
        self.unconditional
            && match &self.end {
                End::TurnedAway => true,
                End::Chain(name) if depth < DEEPEST => {
                    let rules = all.get(name).map(Vec::as_slice).unwrap_or_default();
                    rules.iter().any(|rule| rule.closes(all, depth + 1))
                }
                End::Chain(_) | End::Else => false,
            }
    }
}

fn rules(netlink: &mut Netlink, family: Family, table: &str) -> Result<Rules, NetlinkError> {
    let mut batch = Batch::default();
    batch.push(message_type(NFT_MSG_GETRULE), flag::DUMP, |bytes| {
        bytes.extend_from_slice(&[family.number(), 0, 0, 0]);
        Writer::new(bytes).text(NFTA_RULE_TABLE, table);
    });
    let mut rules = Rules::new();
    for (chain, rule) in netlink.dump(&batch, |_, body| Ok(rule_of(body, table)))?.into_iter().flatten() {
        rules.entry(chain).or_default().push(rule);
    }
    Ok(rules)
}

fn rule_of(body: &[u8], table: &str) -> Option<(String, Rule)> {
    let rest = body.get(4..)?;
    if find(rest, NFTA_RULE_TABLE).and_then(text)? != table {
        return None;
    }
    let mut rule = Rule {
        handle: u64::from_be_bytes(*find(rest, NFTA_RULE_HANDLE)?.first_chunk()?),
        comment: find(rest, NFTA_RULE_USERDATA).unwrap_or_default().to_vec(),
        unconditional: true,
        end: End::Else,
    };
    for (_, expression) in attributes(find(rest, NFTA_RULE_EXPRESSIONS).unwrap_or_default()) {
        rule.read(expression);
    }
    Some((find(rest, NFTA_RULE_CHAIN).and_then(text)?, rule))
}

impl Rule {
    fn read(&mut self, expression: &[u8]) {
        const NFTA_EXPR_NAME: u16 = 1;
        const NFTA_EXPR_DATA: u16 = 2;
        /// `NFTA_TARGET_NAME` and `NFTA_MATCH_NAME`.
        const NAME: u16 = 1;
        let data = find(expression, NFTA_EXPR_DATA).unwrap_or_default();
        let named = || find(data, NAME).and_then(text).unwrap_or_default();
        match find(expression, NFTA_EXPR_NAME).and_then(text).as_deref() {
            Some("counter" | "log") => {}
            Some("reject") => self.end = End::TurnedAway,
            Some("immediate") => self.end = verdict(data).unwrap_or(End::Else),
            // Those that iptables writes and nf_tables has no words for.
            Some("target") => {
                self.end = if named() == "REJECT" { End::TurnedAway } else { End::Else };
            }
            Some("match") if named() == "comment" => {}
            _ => self.unconditional = false,
        }
    }
}

/// Reads what an immediate expression says; `None` if it is no verdict.
fn verdict(data: &[u8]) -> Option<End> {
    const NFTA_IMMEDIATE_DATA: u16 = 2;
    const NFTA_DATA_VERDICT: u16 = 2;
    const NFTA_VERDICT_CODE: u16 = 1;
    const NFTA_VERDICT_CHAIN: u16 = 2;
    let verdict = find_at(data, &[NFTA_IMMEDIATE_DATA, NFTA_DATA_VERDICT])?;
    let chain = find(verdict, NFTA_VERDICT_CHAIN).and_then(text);
    Some(match (find(verdict, NFTA_VERDICT_CODE).and_then(number)?, chain) {
        (_, Some(chain)) => End::Chain(chain),
        (0, None) => End::TurnedAway,
        (_, None) => End::Else,
    })
}

/// Returns the name by which people know whose table it is.
fn known_as<'a>(table: &str, family: Family, mut chains: impl Iterator<Item = &'a Chain>) -> String {
    if table == "firewalld" {
        return "firewalld".to_owned();
    }
    if chains.any(|chain| chain.name.starts_with("ufw") && chain.name.contains("-user-")) {
        return "ufw".to_owned();
    }
    match (family, table) {
        (Family::Ip, "filter") => "iptables".to_owned(),
        (Family::Ip6, "filter") => "ip6tables".to_owned(),
        (family, table) => format!("nftables table `{} {table}`", family.word()),
    }
}

fn has_legacy_tables() -> bool {
    let names = ["/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names"];
    let has_filter = |text: String| text.lines().any(|line| line == "filter");
    names.iter().any(|path| fs::read_to_string(path).is_ok_and(has_filter))
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.strip_suffix(&[0]).unwrap_or(bytes).to_vec()).ok()
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|chunk| u32::from_be_bytes(*chunk))
}
