//! Opens the store and reads it.
//!
//! One file, one table a type of record; a value is its version and its JSON, so that any tool can show it.
//!
//! Source: redb, `docs/design.md`.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use redb::{Builder, Database, ReadOnlyTable, ReadableDatabase, TableDefinition, TableError};

use crate::batch::Batch;
use crate::commit::{CommitError, Item, changes, recover, write};
use crate::create::{ABOUT, FORMAT_KEY, create_if_absent, delete_unfinished, make_folder};
use crate::group::Group;
use crate::holder::{self, Holder};
use crate::journal::Journal;
use crate::record::{Record, RecordError, decode};

/// The version of the file as a whole; that of each record is beside it.
pub(crate) const FORMAT: u32 = 1;

/// What redb may keep of the file in memory. The store is small, and so is the engine.
const CACHE_BYTES: usize = 4 << 20;

/// A value: the version of its record, and its JSON.
pub(crate) type Stored = (u32, &'static [u8]);

/// The open store. Clones are the same store, and it is closed with the last of them.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    database: Database,
    /// Whoever leads a round writes it.
    journal: Mutex<Journal>,
    group: Group<Item, CommitError>,
    /// Nothing is in the journal alone.
    synced: AtomicBool,
}

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its folder or file cannot be made or read.
    #[error("open the store `{path}`")]
    Files {
        /// The store's file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("the store `{path}` is in use by another process: stop it, or give this one its own TRICE_DATA")]
    InUse {
        /// The store's file.
        path: PathBuf,
    },
    /// A newer trice made it.
    #[error("the store `{path}` has format {found}, and this trice knows {FORMAT}: use the newer trice")]
    Newer {
        /// The store's file.
        path: PathBuf,
        /// The format of the file.
        found: u32,
    },
    /// It is no store, or no longer one.
    #[error(
        "the store `{path}` is damaged: move it away, and trice begins a new one (volumes and images stay)"
    )]
    Damaged {
        /// The store's file.
        path: PathBuf,
        /// What is wrong with it.
        source: redb::Error,
    },
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("read the table `{table}` of the store")]
    Table {
        /// The table.
        table: &'static str,
        /// What is wrong.
        source: Box<redb::Error>,
    },
    /// The record is not one that this trice reads.
    #[error("read `{key}` of the table `{table}` of the store")]
    Record {
        /// The table.
        table: &'static str,
        /// The record's key.
        key: String,
        /// What is wrong.
        source: RecordError,
    },
}

impl Store {
    /// Opens the store at `path`, and makes it if there is none: its folder with mode 0700, its file with
    /// 0600.
    ///
    /// # Errors
    /// [`OpenError`]; nothing has changed then.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let files = |source| OpenError::Files { path: path.to_owned(), source };
        let folder = path.parent().unwrap_or(Path::new("/"));
        make_folder(folder).map_err(files)?;
        create_if_absent(path).map_err(|error| open_error(path, error))?;
        let database = open_after_the_dead(path)?;
        match format(&database).map_err(|error| open_error(path, error))? {
            FORMAT => {}
            found => return Err(OpenError::Newer { path: path.to_owned(), found }),
        }
        delete_unfinished(path).map_err(files)?;
        let mut journal = Journal::open(&path.with_extension("journal")).map_err(files)?;
        recover(&database, &mut journal).map_err(|error| open_error(path, error))?;
        let (journal, group, synced) = (Mutex::new(journal), Group::new(), AtomicBool::new(true));
        let shared = Shared { database, journal, group, synced };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Keeps `batch`. It is on the disk when this returns, with all that was kept before; callers that come together
    /// share one transaction.
    ///
    /// # Errors
    /// [`CommitError`]; nothing of the batch is kept then.
    pub fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        self.run(batch, true)
    }

    /// Keeps `batch` without waiting for the disk. It outlives this process when this returns, and a power cut once
    /// [`Self::commit`] or [`Self::sync`] has returned.
    ///
    /// # Errors
    /// [`CommitError`]; nothing of the batch is kept then.
    pub fn commit_lazily(&self, batch: Batch) -> Result<(), CommitError> {
        self.run(batch, false)
    }

    /// Waits until everything that was kept is on the disk.
    ///
    /// # Errors
    /// [`CommitError::Write`].
    pub fn sync(&self) -> Result<(), CommitError> {
        if self.is_synced() {
            return Ok(());
        }
        self.round(Item { changes: Vec::new(), on_disk: true })
    }

    /// Tells whether everything that was kept is on the disk.
    pub fn is_synced(&self) -> bool {
        self.shared.synced.load(Ordering::Acquire)
    }

    fn run(&self, batch: Batch, on_disk: bool) -> Result<(), CommitError> {
        let changes = changes(batch)?;
        if changes.is_empty() {
            return Ok(());
        }
        self.round(Item { changes, on_disk })
    }

    fn round(&self, item: Item) -> Result<(), CommitError> {
        let shared = &self.shared;
        shared.group.run(item, |items| {
            let mut journal = shared.journal.lock().expect("no caller panics while it holds the lock");
            let synced = write(&shared.database, &mut journal, &items)?;
            shared.synced.store(synced, Ordering::Release);
            Ok(())
        })
    }

    /// Returns the record of type `R` under `key`.
    ///
    /// # Errors
    /// [`ReadError`] if there is one that cannot be read.
    pub fn get<R: Record>(&self, key: &str) -> Result<Option<R>, ReadError> {
        let Some(table) = self.table::<R>()? else { return Ok(None) };
        let Some(value) = table.get(key).map_err(table_error::<R>)? else { return Ok(None) };
        let (version, text) = value.value();
        decode(version, text).map(Some).map_err(|source| record_error::<R>(key, source))
    }

    /// Returns all records of type `R`, by key.
    ///
    /// # Errors
    /// [`ReadError`] at the first that cannot be read.
    pub fn all<R: Record>(&self) -> Result<Vec<R>, ReadError> {
        self.scan("")
    }

    /// Returns the records of type `R` whose keys begin with `prefix`, by key.
    ///
    /// # Errors
    /// [`ReadError`] at the first that cannot be read.
    pub fn scan<R: Record>(&self, prefix: &str) -> Result<Vec<R>, ReadError> {
        let Some(table) = self.table::<R>()? else { return Ok(Vec::new()) };
        let mut records = Vec::new();
        for entry in table.range::<&str>(prefix..).map_err(table_error::<R>)? {
            let (key, value) = entry.map_err(table_error::<R>)?;
            if !key.value().starts_with(prefix) {
                break;
            }
            let (version, text) = value.value();
            records.push(decode(version, text).map_err(|source| record_error::<R>(key.value(), source))?);
        }
        Ok(records)
    }

    /// Opens the table of `R` as it is now; `None` if nothing was ever put there.
    fn table<R: Record>(&self) -> Result<Option<ReadOnlyTable<&'static str, Stored>>, ReadError> {
        let definition: TableDefinition<'_, &str, Stored> = TableDefinition::new(R::TABLE);
        match self.shared.database.begin_read().map_err(table_error::<R>)?.open_table(definition) {
            Ok(table) => Ok(Some(table)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(table_error::<R>(error)),
        }
    }
}

/// Opens the file once it is let go of by whoever had it open and is dead.
fn open_after_the_dead(path: &Path) -> Result<Database, OpenError> {
    let files = |source| OpenError::Files { path: path.to_owned(), source };
    let mut is_free = false;
    loop {
        match open_database(path) {
            Err(redb::Error::DatabaseAlreadyOpen) => {}
            other => return other.map_err(|error| open_error(path, error)),
        }
        match holder::of(path).map_err(files)? {
            Holder::Dead(_) => holder::wait(path).map_err(files)?,
            // Let go of since it was tried; if not, the kernel does not tell whose it is.
            Holder::Nobody if !is_free => is_free = true,
            Holder::Nobody | Holder::Alive => return Err(OpenError::InUse { path: path.to_owned() }),
        }
    }
}

fn open_database(path: &Path) -> Result<Database, redb::Error> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
    }
    let mut database = Builder::new().set_cache_size(CACHE_BYTES).create_file(file)?;
    // redb trusts a file that was closed in order, and may panic later where a disk has changed a byte of it.
    // The check reads the whole file, which takes less than a millisecond for as long as records are few.
    if database.check_integrity()? {
        Ok(database)
    } else {
        Err(redb::Error::Corrupted(
            "checksums are wrong; what could be saved is there at the next start".to_owned(),
        ))
    }
}

fn format(database: &Database) -> Result<u32, redb::Error> {
    let table = database.begin_read()?.open_table(ABOUT)?;
    let found = table.get(FORMAT_KEY)?.map(|value| value.value());
    found.ok_or_else(|| redb::Error::Corrupted("the file does not say which format it has".to_owned()))
}

fn open_error(path: &Path, error: redb::Error) -> OpenError {
    let path = path.to_owned();
    match error {
        redb::Error::DatabaseAlreadyOpen => OpenError::InUse { path },
        redb::Error::Io(source) if source.kind() != io::ErrorKind::InvalidData => {
            OpenError::Files { path, source }
        }
        source => OpenError::Damaged { path, source },
    }
}

fn table_error<R: Record>(error: impl Into<redb::Error>) -> ReadError {
    ReadError::Table { table: R::TABLE, source: Box::new(error.into()) }
}

fn record_error<R: Record>(key: &str, source: RecordError) -> ReadError {
    ReadError::Record { table: R::TABLE, key: key.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::env;
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::fs::MetadataExt;
    use std::process::{Command, Stdio};
    use std::thread;

    use serde::{Deserialize, Serialize};
    use serde_json::{Value, json};

    use super::*;
    use crate::record::UpgradeError;
    use crate::testing::Folder;

    #[derive(Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
    struct Fruit {
        name: String,
        colour: String,
    }

    impl Record for Fruit {
        const TABLE: &'static str = "fruit";
        const VERSION: u32 = 2;

        fn key(&self) -> String {
            self.name.clone()
        }

        /// Version 1 had no colour.
        fn upgrade(version: u32, mut value: Value) -> Result<Value, UpgradeError> {
            if version != 1 {
                return Err(UpgradeError { version });
            }
            value["colour"] = json!("green");
            Ok(value)
        }
    }

    fn fruit(name: &str, colour: &str) -> Fruit {
        Fruit { name: name.to_owned(), colour: colour.to_owned() }
    }

    /// A fruit as the trice of another time wrote it.
    #[derive(Serialize, Deserialize, schemars::JsonSchema)]
    struct FruitOf<const V: u32> {
        name: String,
    }

    impl<const V: u32> Record for FruitOf<V> {
        const TABLE: &'static str = "fruit";
        const VERSION: u32 = V;

        fn key(&self) -> String {
            self.name.clone()
        }
    }

    fn open(folder: &Folder) -> Store {
        Store::open(&folder.path("data/store")).unwrap()
    }

    #[test]
    fn what_was_committed_is_there_after_the_store_is_opened_again() {
        let folder = Folder::new();
        let batch = Batch::new().put(&fruit("plum", "blue")).put(&fruit("pear", "green"));
        open(&folder).commit(batch).unwrap();
        open(&folder).commit(Batch::new().remove::<Fruit>("pear").remove::<Fruit>("fig")).unwrap();
        let store = open(&folder);
        assert_eq!(store.get::<Fruit>("plum").unwrap(), Some(fruit("plum", "blue")));
        assert_eq!(store.get::<Fruit>("pear").unwrap(), None);
    }

    /// Opens a copy of the store as it would be after a power cut: what nobody waited for is not there.
    fn after_a_power_cut(folder: &Folder) -> Vec<String> {
        fs::copy(folder.path("data/store"), folder.path("copy")).unwrap();
        let store = Store::open(&folder.path("copy")).unwrap();
        let names = store.all::<Fruit>().unwrap().into_iter().map(|fruit| fruit.name).collect();
        drop(store);
        fs::remove_file(folder.path("copy.journal")).unwrap();
        names
    }

    #[test]
    fn what_was_committed_lazily_outlives_the_process_at_once_and_a_power_cut_after_the_next_wait() {
        let folder = Folder::new();
        let store = open(&folder);
        let put = |name| Batch::new().put(&fruit(name, "green"));
        store.commit_lazily(put("fig")).unwrap();
        assert!(store.get::<Fruit>("fig").unwrap().is_some() && !store.is_synced());
        assert_eq!(after_a_power_cut(&folder), [""; 0]);
        store.commit(put("plum")).unwrap();
        assert!(store.is_synced());
        assert_eq!(after_a_power_cut(&folder), ["fig", "plum"]);
        store.commit_lazily(Batch::new().remove::<Fruit>("fig")).unwrap();
        assert_eq!(after_a_power_cut(&folder), ["fig", "plum"]);
        store.sync().unwrap();
        assert_eq!(after_a_power_cut(&folder), ["plum"]);
    }

    #[test]
    fn the_journal_of_a_store_that_was_moved_away_says_nothing_to_a_new_one() {
        let folder = Folder::new();
        let store = open(&folder);
        store.commit_lazily(Batch::new().put(&fruit("fig", "green"))).unwrap();
        fs::remove_file(folder.path("data/store")).unwrap();
        let new = open(&folder);
        assert_eq!(new.all::<Fruit>().unwrap(), []);
        drop(store);
    }

    #[test]
    fn records_are_found_by_the_beginning_of_their_keys() {
        let store = open(&Folder::new());
        assert_eq!(store.all::<Fruit>().unwrap(), []);
        let names = ["pea", "pear", "pearl", "peas", "plum"];
        store
            .commit(names.iter().fold(Batch::new(), |batch, name| batch.put(&fruit(name, "green"))))
            .unwrap();
        let found = |prefix| -> Vec<String> {
            store.scan::<Fruit>(prefix).unwrap().into_iter().map(|fruit| fruit.name).collect()
        };
        assert_eq!(found("pear"), ["pear", "pearl"]);
        assert_eq!(found("x"), [""; 0]);
        assert_eq!(found(""), names);
    }

    #[test]
    fn a_record_of_an_older_trice_is_upgraded_and_one_of_a_newer_is_refused() {
        let store = open(&Folder::new());
        store.commit(Batch::new().put(&FruitOf::<1> { name: "fig".to_owned() })).unwrap();
        assert_eq!(store.get::<Fruit>("fig").unwrap(), Some(fruit("fig", "green")));
        store.commit(Batch::new().put(&FruitOf::<3> { name: "kiwi".to_owned() })).unwrap();
        let refused = |result: Result<_, ReadError>| match result.map(drop) {
            Err(ReadError::Record { key, source: RecordError::Newer { found: 3, known: 2 }, .. }) => key,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(store.get::<Fruit>("kiwi").map(drop)), "kiwi");
        assert_eq!(refused(store.all::<Fruit>().map(drop)), "kiwi");
        store.commit(Batch::new().put(&FruitOf::<0> { name: "date".to_owned() })).unwrap();
        let error = store.get::<Fruit>("date").unwrap_err();
        assert!(matches!(error, ReadError::Record { source: RecordError::Upgrade(_), .. }), "{error:?}");
    }

    #[test]
    fn a_batch_with_a_record_that_is_not_json_is_refused_whole() {
        #[derive(Serialize, Deserialize, schemars::JsonSchema)]
        struct Odd(BTreeMap<(u8, u8), u8>);
        impl Record for Odd {
            const TABLE: &'static str = "odd";
            const VERSION: u32 = 1;
            fn key(&self) -> String {
                "odd".to_owned()
            }
        }
        let store = open(&Folder::new());
        let batch = Batch::new().put(&fruit("fig", "green")).put(&Odd(BTreeMap::from([((1, 2), 3)])));
        assert!(matches!(store.commit(batch), Err(CommitError::Unwritable { table: "odd", .. })));
        assert_eq!(store.get::<Fruit>("fig").unwrap(), None);
    }

    #[test]
    fn folder_and_file_are_their_owners_alone() {
        let folder = Folder::new();
        let path = folder.path("data/store");
        let modes = || [&folder.path("data"), &path].map(|at| fs::metadata(at).unwrap().mode() & 0o777);
        drop(open(&folder));
        assert_eq!(modes(), [0o700, 0o600]);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        drop(open(&folder));
        assert_eq!(modes(), [0o700, 0o600]);
    }

    #[test]
    fn a_store_that_is_open_elsewhere_is_not_opened_twice() {
        let folder = Folder::new();
        let first = open(&folder);
        let second = Store::open(&folder.path("data/store"));
        assert!(matches!(second.map(drop), Err(OpenError::InUse { .. })));
        drop(first);
        open(&folder);
    }

    #[test]
    fn what_is_left_of_a_dead_process_that_had_it_open_is_waited_for() {
        let folder = Folder::new();
        drop(open(&folder));
        let path = folder.path("data/store");
        // A program locks the file and ends; another one has a copy of its descriptor.
        let script = "flock --nonblock 9 && echo locked && read word";
        let mut keeps = Command::new("sh")
            .args(["-c", &format!("exec 9<> '{}'; {script}", path.display())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = String::new();
        BufReader::new(keeps.stdout.as_mut().unwrap()).read_line(&mut told).unwrap();
        assert_eq!(told, "locked\n");
        let inode = fs::metadata(&path).unwrap().ino().to_string();
        let waits = |line: &str| line.contains("-> FLOCK") && line.contains(&format!(":{inode} "));
        thread::scope(|scope| {
            let opened = scope.spawn(|| Store::open(&path).map(drop));
            while !fs::read_to_string("/proc/locks").unwrap().lines().any(waits) {
                assert!(!opened.is_finished(), "{:?}", opened.join());
                thread::yield_now();
            }
            drop(keeps.stdin.take());
            opened.join().unwrap().unwrap();
        });
        keeps.wait().unwrap();
    }

    #[test]
    fn a_store_of_a_newer_trice_is_refused() {
        let folder = Folder::new();
        let path = folder.path("data/store");
        drop(open(&folder));
        let database = Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(ABOUT).unwrap().insert(FORMAT_KEY, FORMAT + 1).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let error = Store::open(&path).map(drop).unwrap_err();
        assert!(matches!(error, OpenError::Newer { found: 2, .. }), "{error:?}");
    }

    #[test]
    fn a_file_that_is_no_store_is_damaged_and_is_left_as_it_is() {
        let folder = Folder::new();
        let path = folder.path("data/store");
        drop(open(&folder));
        let whole = fs::read(&path).unwrap();
        let cut = whole[..whole.len() / 3].to_vec();
        let zeroed = vec![0; whole.len()];
        for bad in [b"something else".to_vec(), cut, zeroed] {
            fs::write(&path, &bad).unwrap();
            let error = Store::open(&path).map(drop).unwrap_err();
            assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
            assert!(fs::read(&path).unwrap() == bad);
        }
    }

    #[test]
    fn a_byte_that_the_disk_has_changed_is_noticed() {
        let folder = Folder::new();
        let path = folder.path("data/store");
        open(&folder).commit(Batch::new().put(&fruit("gooseberry", "green"))).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.windows(10).position(|window| window == b"gooseberry").unwrap();
        bytes[at] = b'm';
        fs::write(&path, bytes).unwrap();
        assert!(matches!(Store::open(&path).map(drop), Err(OpenError::Damaged { .. })));
    }

    #[test]
    fn of_those_who_make_the_store_at_once_one_has_it_and_the_others_are_told() {
        for _ in 0..10 {
            let folder = Folder::new();
            let outcomes: Vec<_> = thread::scope(|scope| {
                let open = || Store::open(&folder.path("data/store"));
                let threads = [scope.spawn(open), scope.spawn(open), scope.spawn(open)];
                threads.map(|thread| thread.join().unwrap()).into_iter().collect()
            });
            let is_told = |outcome: &&Result<Store, _>| matches!(outcome, Err(OpenError::InUse { .. }));
            assert_eq!(outcomes.iter().filter(is_told).count(), 2);
            assert!(outcomes.iter().any(Result::is_ok));
            drop(outcomes);
            drop(open(&folder));
            assert_eq!(folder.names("data"), ["store", "store.journal"]);
        }
    }

    /// The variable that tells [`commits_until_it_is_killed`] where its store is.
    const STORE_OF_CHILD: &str = "TRICE_STATE_TEST_STORE";

    #[test]
    #[ignore = "the child of a_kill_at_any_moment_loses_nothing_that_was_acknowledged"]
    fn commits_until_it_is_killed() {
        let Some(path) = env::var_os(STORE_OF_CHILD) else { return };
        let store = Store::open(Path::new(&path)).unwrap();
        let first = store.all::<Fruit>().unwrap().len();
        thread::scope(|scope| {
            for lane in 0..3 {
                let store = &store;
                scope.spawn(move || {
                    for number in first.. {
                        let name = format!("{lane}-{number}");
                        let batch = Batch::new().put(&fruit(&name, "red"));
                        // One in four waits for the disk, and now and then everything does.
                        let waits = (number + lane).is_multiple_of(4);
                        if waits { store.commit(batch) } else { store.commit_lazily(batch) }.unwrap();
                        if number.is_multiple_of(7) {
                            store.sync().unwrap();
                        }
                        std::io::stdout().write_all(format!("kept {name}\n").as_bytes()).unwrap();
                    }
                });
            }
        });
    }

    #[test]
    fn a_kill_at_any_moment_loses_nothing_that_was_acknowledged() {
        let folder = Folder::new();
        let path = folder.path("data/store");
        let mut acknowledged = Vec::new();
        for round in 0..30_usize {
            let mut child = Command::new(env::current_exe().unwrap())
                .args(["--exact", "store::tests::commits_until_it_is_killed", "--ignored", "--nocapture"])
                .env(STORE_OF_CHILD, &path)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
            // Rounds differ in length, the first ones fall into the making of the file.
            let heard: Vec<String> = lines.by_ref().take(round * round % 41).collect();
            child.kill().unwrap();
            child.wait().unwrap();
            let all = heard.into_iter().chain(lines);
            acknowledged.extend(all.filter_map(|line| line.strip_prefix("kept ").map(str::to_owned)));
            let store = open(&folder);
            let lost: Vec<_> =
                acknowledged.iter().filter(|name| store.get::<Fruit>(name).unwrap().is_none()).collect();
            assert!(lost.is_empty(), "round {round}: {lost:?}");
        }
        assert!(acknowledged.len() > 200);
        assert_eq!(folder.names("data"), ["store", "store.journal"]);
    }
}
