//! Tables of the packet filter: as values that print as `nft list` prints them, and as messages to the kernel.
//!
//! ```text
//! table ── set ── element            values, made by whoever has rules to give
//!    └──── chain ── rule
//! message ── expression              the same as bytes, in one transaction
//! ```
//!
//! There is no crate for this that needs neither the `nft` program nor a C library, and the part of nf_tables that
//! trice uses is small.

pub(crate) mod expression;
pub(crate) mod message;
pub(crate) mod rule;
pub(crate) mod set;
pub(crate) mod table;
pub(crate) mod value;

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::netlink::{Netlink, NetlinkError, NetlinkFamily};
use message::{Ownership, Subject, Transaction, get_table, list_tables, table_name};
use table::{Family, Table};

/// Why a table of the packet filter is not as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum NftablesError {
    /// The kernel was built or loaded without nf_tables.
    #[error(
        "this kernel has no nf_tables (CONFIG_NF_TABLES): ports cannot be published nor networks kept apart"
    )]
    Unsupported(#[source] NetlinkError),
    /// The kernel lacks what a rule needs.
    #[error("this kernel lacks a part of nf_tables that {subject} needs")]
    Incomplete {
        /// The rule, chain or set.
        subject: String,
        /// What the kernel said.
        #[source]
        source: NetlinkError,
    },
    /// The right is missing, or another process holds the table.
    #[error("no right to change table `{table}`: that takes root, and no other engine that holds it")]
    Denied {
        /// Its name.
        table: String,
        /// What the kernel said.
        #[source]
        source: NetlinkError,
    },
    /// The kernel refused a message.
    #[error("write {subject} of table `{table}`")]
    Refused {
        /// The table's name.
        table: String,
        /// The rule, chain or set.
        subject: String,
        /// What the kernel said.
        #[source]
        source: NetlinkError,
    },
    /// The kernel was not reached.
    #[error("reach table `{table}`")]
    Unreached {
        /// The table's name.
        table: String,
        /// What the kernel said.
        #[source]
        source: NetlinkError,
    },
}

/// A socket that owns the tables which are made through it.
///
/// As long as it is open, by whichever process, nobody else can change or flush them (Linux 6.9 and later). Once it is
/// closed they stay, and the next owner that replaces or removes them takes them over.
#[derive(Debug)]
pub struct TableOwner(Netlink);

impl TableOwner {
    /// Opens a socket for tables of the calling thread's network namespace.
    ///
    /// To close one takes about ten milliseconds if a table was deleted just before, by whomever: the kernel waits until
    /// it is out of use. So whoever has one asks everything through it.
    ///
    /// # Errors
    /// [`NftablesError::Unsupported`].
    pub fn open() -> Result<Self, NftablesError> {
        Netlink::open(NetlinkFamily::Netfilter).map(Self).map_err(NftablesError::Unsupported)
    }

    /// Closes it where nobody waits for that, in a thread of its own.
    pub fn close_aside(self) {
        // Without a thread it is waited for.
        let _ = std::thread::Builder::new().stack_size(64 * 1024).spawn(move || drop(self));
    }

    /// Returns the socket.
    pub(crate) fn netlink(&mut self) -> &mut Netlink {
        &mut self.0
    }
}

impl From<OwnedFd> for TableOwner {
    /// Goes on with the socket of an owner that was kept by another process.
    fn from(socket: OwnedFd) -> Self {
        Self(socket.into())
    }
}

impl From<TableOwner> for OwnedFd {
    fn from(owner: TableOwner) -> Self {
        owner.0.into()
    }
}

impl AsFd for TableOwner {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Puts `tables` in the place of those that have their names, in one transaction.
///
/// A table is owned and persistent where the kernel has that, and shared elsewhere: a table that is owned and not
/// persistent would vanish with a crash, and with it what guards the host. One that nobody owns any more is taken over
/// by asking for the same ownership; one that is shared refuses that, and is simply deleted.
pub(crate) fn replace(owner: &mut TableOwner, tables: &[Table]) -> Result<(), NftablesError> {
    use Ownership::{OwnedAndPersistent, Shared};
    perform_first_that_fits(
        &mut owner.0,
        tables.first().map_or("", |table| &table.name),
        &[(OwnedAndPersistent, OwnedAndPersistent), (Shared, OwnedAndPersistent), (Shared, Shared)],
        |found, wanted| Transaction::replace(tables, found, wanted),
    )
}

/// Deletes the tables of this name, in one transaction. That there are none does not hinder.
pub(crate) fn remove(owner: &mut TableOwner, families: &[Family], name: &str) -> Result<(), NftablesError> {
    perform_first_that_fits(
        &mut owner.0,
        name,
        &[(Ownership::OwnedAndPersistent, Ownership::Shared), (Ownership::Shared, Ownership::Shared)],
        |found, _| Transaction::remove(families, name, found),
    )
}

/// Returns the names of all tables that begin with `prefix`.
pub(crate) fn names(owner: &mut TableOwner, prefix: &str) -> Result<BTreeSet<String>, NftablesError> {
    let found = owner.0.dump(&list_tables(), |_, body| Ok(table_name(body)));
    let found = found.map_err(|error| explain(prefix, error, &[Subject::Table]))?;
    Ok(found.into_iter().flatten().filter(|name| name.starts_with(prefix)).collect())
}

/// Returns whether there is a table of this name.
pub(crate) fn exists(owner: &mut TableOwner, family: Family, name: &str) -> Result<bool, NftablesError> {
    let mut found = false;
    let result = owner.0.ask(get_table(family, name), |_, _| {
        found = true;
        Ok(())
    });
    match result {
        Ok(()) => Ok(found),
        Err(error) if error.refusal() == Some(Errno::NOENT) => Ok(false),
        Err(error) => Err(explain(name, error, &[Subject::Table])),
    }
}

/// Performs the first transaction whose ownerships (found, wanted) the kernel does not refuse as unknown or unfitting.
fn perform_first_that_fits<'a>(
    netlink: &mut Netlink,
    name: &str,
    ownerships: &[(Ownership, Ownership)],
    transaction: impl Fn(Ownership, Ownership) -> Transaction<'a>,
) -> Result<(), NftablesError> {
    let mut outcome = Ok(());
    for (found, wanted) in ownerships {
        let (batch, subjects) = transaction(*found, *wanted).into_parts();
        let Err(error) = netlink.perform(batch) else { return Ok(()) };
        let about_ownership = is_about_ownership(&error, &subjects);
        outcome = Err(explain(name, error, &subjects));
        if !about_ownership {
            break;
        }
    }
    outcome
}

/// Returns whether the kernel refused the table itself, for flags that it does not know or that do not fit.
fn is_about_ownership(error: &NetlinkError, subjects: &[Subject<'_>]) -> bool {
    error.place().and_then(|place| subjects.get(place)) == Some(&Subject::Table)
        && matches!(error.refusal(), Some(Errno::OPNOTSUPP | Errno::INVAL))
}

fn explain(table: &str, source: NetlinkError, subjects: &[Subject<'_>]) -> NftablesError {
    let table = table.to_owned();
    let subject = source.place().and_then(|place| subjects.get(place));
    let lacks = matches!(source.refusal(), Some(Errno::OPNOTSUPP | Errno::NOENT));
    if source.refusal() == Some(Errno::PERM) {
        return NftablesError::Denied { table, source };
    }
    match subject {
        None => NftablesError::Unreached { table, source },
        Some(Subject::Batch) if lacks => NftablesError::Unsupported(source),
        Some(part @ (Subject::Chain(_) | Subject::Set(_) | Subject::Rule(..))) if lacks => {
            NftablesError::Incomplete { subject: part.to_string(), source }
        }
        Some(part) => NftablesError::Refused { table, subject: part.to_string(), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::Refusal;

    /// Returns what the user is told when the kernel refuses the message about `subject` with `errno`.
    fn told(subject: Subject<'_>, errno: Errno) -> String {
        let source = Refusal { number: 2, text: None, errno }.into();
        explain("shop", source, &[Subject::Batch, subject]).to_string()
    }

    #[test]
    fn a_missing_ability_of_the_kernel_is_named() {
        let rule = rule::Rule(vec![rule::Statement::ForThisHost]);
        let chain = table::Chain { name: "output".to_owned(), hook: None, rules: Vec::new() };
        insta::assert_snapshot!(
            [
                told(Subject::Batch, Errno::OPNOTSUPP),
                told(Subject::Rule(&chain, &rule), Errno::NOENT),
                told(Subject::Chain(&chain), Errno::OPNOTSUPP),
                told(Subject::Table, Errno::PERM),
                told(Subject::Rule(&chain, &rule), Errno::INVAL),
            ]
            .join("\n"),
            @"
        this kernel has no nf_tables (CONFIG_NF_TABLES): ports cannot be published nor networks kept apart
        this kernel lacks a part of nf_tables that rule `fib daddr type local` of chain `output` needs
        this kernel lacks a part of nf_tables that chain `output` needs
        no right to change table `shop`: that takes root, and no other engine that holds it
        write rule `fib daddr type local` of chain `output` of table `shop`
        "
        );
    }
}
