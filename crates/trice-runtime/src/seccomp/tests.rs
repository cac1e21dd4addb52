//! The compiled program against a plain reading of the profile, and a real thread under the filter.

use std::io::ErrorKind;
use std::process::Command;

use proptest::prelude::{Just, Strategy, any, prop_assert_eq, proptest};
use proptest::{collection, prop_oneof, sample};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};
use trice_sys::namespace::{Unshare, unshare};

use super::machine::{Architecture, KernelVersion};
use super::profile::{Circumstance, Comparison, Rule, Width};
use super::*;
use interpreter::run;
use reader::{Data, Reader};

mod interpreter;
mod reader;

const X86_64: Machine =
    Machine { architecture: Architecture::X86_64, kernel: KernelVersion { major: 6, minor: 18 } };
const AARCH64: Machine =
    Machine { architecture: Architecture::Aarch64, kernel: KernelVersion { major: 6, minor: 18 } };
const ABIS: [Abi; 5] = [Abi::X86_64, Abi::X32, Abi::I386, Abi::Aarch64, Abi::Arm];

const ALLOWED: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const KILLED: u32 = 0x8000_0000;

fn set(names: &[&str]) -> BTreeSet<Capability> {
    names.iter().map(|name| name.parse().expect("a capability")).collect()
}

/// Compiles the default profile.
fn program(capabilities: &BTreeSet<Capability>, machine: &Machine) -> Vec<SockFilter> {
    compile(&Profile::default_profile(), capabilities, machine).expect("it is short")
}

fn call(abi: Abi, name: &str, arguments: &[u64]) -> Data {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    Data { number: abi.bit() + abi.numbers()[name], architecture: abi.audit(), arguments: all }
}

/// Judges a call on x86-64 of a container with the default capabilities.
fn verdict(abi: Abi, name: &str, arguments: &[u64]) -> u32 {
    run(&program(&Capability::default_set(), &X86_64), &call(abi, name, arguments))
}

/// Checks that program and profile agree about `numbers` of all architectures, with each of `firsts` as the
/// first argument.
fn agree(machine: &Machine, capabilities: &BTreeSet<Capability>, numbers: &[u32], firsts: &[u64]) {
    let profile = Profile::default_profile();
    let program = program(capabilities, machine);
    let reader = Reader::new(&profile, capabilities, machine);
    for architecture in ABIS.map(Abi::audit).into_iter().chain([0, 0xc000_0016]) {
        for (number, first) in
            numbers.iter().flat_map(|number| firsts.iter().map(move |first| (number, first)))
        {
            let data =
                Data { number: *number, architecture, arguments: [*first, first ^ 1, 0, u64::MAX, 0, 0] };
            assert_eq!(run(&program, &data), reader.judge(&data), "{machine:?} {capabilities:?} {data:x?}");
        }
    }
}

#[test]
fn the_program_judges_every_number_as_the_profile_reads() {
    let mut capability_sets = vec![BTreeSet::new(), Capability::default_set(), Capability::all()];
    capability_sets.extend(Capability::all().into_iter().map(|one| BTreeSet::from([one])));
    let edges = [0x000e_ffff, 0x000f_0000, 0x000f_0001, 0x000f_0006, 0x000f_0007, 0x3fff_ffff, u32::MAX];
    let x32 = (0..600).map(|number| number + Abi::X32.bit());
    let numbers: Vec<u32> = (0..600).chain(x32).chain(edges).collect();
    for machine in [X86_64, AARCH64] {
        for capabilities in &capability_sets {
            agree(&machine, capabilities, &numbers, &[0]);
        }
    }
}

#[test]
fn the_program_judges_arguments_as_the_profile_reads() {
    let looked_at = |abi: Abi| {
        let table = abi.numbers();
        ["socket", "clone", "personality"].map(|name| abi.bit() + table[name])
    };
    let numbers: Vec<u32> = ABIS.into_iter().flat_map(looked_at).collect();
    let low = [0, 1, 8, 12, 37, 38, 39, 40, 41, 0x2_0000, 0x2_0008, 0x7e02_0000, 0x4000_0000, 0xffff_ffff];
    let firsts: Vec<u64> = low
        .into_iter()
        .flat_map(|low| [0, 1, 0x7e02_0000, 0xffff_ffff].map(|high| low | high << 32))
        .collect();
    for capabilities in [Capability::default_set(), Capability::all()] {
        agree(&X86_64, &capabilities, &numbers, &firsts);
        agree(&AARCH64, &capabilities, &numbers, &firsts);
    }
}

#[test]
fn an_old_kernel_and_a_missing_capability_take_calls_away() {
    let old = Machine { kernel: KernelVersion { major: 4, minor: 7 }, ..X86_64 };
    let ptrace = call(Abi::X86_64, "ptrace", &[]);
    assert_eq!(run(&program(&BTreeSet::new(), &old), &ptrace), EPERM);
    assert_eq!(run(&program(&BTreeSet::new(), &X86_64), &ptrace), ALLOWED);
    assert_eq!(run(&program(&set(&["SYS_PTRACE"]), &old), &ptrace), ALLOWED);
    for (name, without) in [("mount", EPERM), ("clone3", ENOSYS), ("bpf", EPERM), ("setns", EPERM)] {
        assert_eq!(verdict(Abi::X86_64, name, &[]), without, "{name}");
        let admin = program(&set(&["SYS_ADMIN"]), &X86_64);
        assert_eq!(run(&admin, &call(Abi::X86_64, name, &[])), ALLOWED, "{name}");
    }
}

#[test]
fn sockets_of_the_hypervisor_and_of_the_kernels_cryptography_are_refused_in_every_disguise() {
    for abi in [Abi::X86_64, Abi::X32, Abi::I386] {
        for (family, expected) in [(1, ALLOWED), (16, ALLOWED), (38, EPERM), (39, ALLOWED), (40, EPERM)] {
            assert_eq!(verdict(abi, "socket", &[family]), expected, "{abi:?} {family}");
            // The kernel reads an int, and so does not see the high half.
            assert_eq!(verdict(abi, "socket", &[family | 7 << 32]), expected, "{abi:?} {family} in disguise");
        }
    }
}

#[test]
fn threads_may_be_cloned_and_namespaces_may_not() {
    let new_namespaces =
        [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];
    let refused = new_namespaces.map(|flags| (flags | 17, EPERM));
    for (flags, expected) in [(0x003d_0f00, ALLOWED), (17, ALLOWED)].into_iter().chain(refused) {
        assert_eq!(verdict(Abi::X86_64, "clone", &[flags]), expected, "{flags:#x}");
        assert_eq!(verdict(Abi::I386, "clone", &[flags]), expected, "{flags:#x}");
    }
}

#[test]
fn calls_that_nobody_knows_are_missing_and_architectures_that_nobody_knows_are_deadly() {
    let judge = |number, architecture| {
        let data = Data { number, architecture, arguments: [0; 6] };
        run(&program(&Capability::default_set(), &X86_64), &data)
    };
    let (x86_64, i386) = (Abi::X86_64.audit(), Abi::I386.audit());
    for (number, architecture) in [(472, x86_64), (472, i386), (0x4000_0224, x86_64), (u32::MAX, x86_64)] {
        assert_eq!(judge(number, architecture), ENOSYS, "{number:#x}");
    }
    assert_eq!(judge(400, x86_64), EPERM, "a hole in the table");
    assert_eq!(judge(0, Abi::Aarch64.audit()), KILLED);
}

#[test]
fn an_architecture_of_which_no_rule_speaks_has_its_own_verdict() {
    let text = "default errno 1\nunknown errno 1\nallow\n  set_tls\n";
    let profile: Profile = text.parse().expect("a profile");
    let program = compile(&profile, &BTreeSet::new(), &AARCH64).expect("it is short");
    let judge = |abi: Abi| {
        let number = Abi::Arm.numbers()["set_tls"];
        run(&program, &Data { number, architecture: abi.audit(), arguments: [0; 6] })
    };
    assert_eq!((judge(Abi::Arm), judge(Abi::Aarch64)), (ALLOWED, EPERM));
}

#[test]
fn the_default_program_stays_short() {
    let length = |machine| program(&Capability::default_set(), machine).len();
    assert!(length(&X86_64) < 437, "{}", length(&X86_64));
    assert!(length(&AARCH64) < 437, "{}", length(&AARCH64));
}

#[test]
fn a_program_that_the_kernel_would_refuse_is_refused_here() {
    let numbers = Abi::X86_64.numbers();
    let conditions = |number: &u32| {
        let condition = |argument| Condition {
            argument,
            width: Width::Long,
            mask: u64::MAX - 1,
            comparison: Comparison::Less,
            value: u64::from(*number),
        };
        (0..6).map(condition).collect()
    };
    let calls = numbers
        .iter()
        .map(|(name, number)| Call { name: (*name).to_owned(), conditions: conditions(number) });
    let rule = Rule { action: Action::Allow, when: Vec::new(), unless: Vec::new(), calls: calls.collect() };
    let profile = Profile { default: Action::Errno(1), unknown: Action::Errno(38), rules: vec![rule] };
    let compiled = compile(&profile, &BTreeSet::new(), &X86_64);
    assert!(matches!(compiled, Err(CompileError::TooLong { length }) if length > 4096), "{compiled:?}");
}

#[test]
fn bytes_are_those_of_the_kernels_structure() {
    let program = [SockFilter { code: 0x15, jt: 1, jf: 2, k: 0xc000_003e }];
    assert_eq!(to_bytes(&program), [0x15, 0, 1, 2, 0x3e, 0, 0, 0xc0]);
}

fn any_action() -> impl Strategy<Value = Action> {
    sample::select(vec![
        Action::Allow,
        Action::Log,
        Action::Errno(1),
        Action::Errno(38),
        Action::Trap,
        Action::Notify,
        Action::KillThread,
        Action::KillProcess,
    ])
}

/// A number whose halves are often equal to another one's.
fn any_number() -> impl Strategy<Value = u64> {
    let half = || sample::select(vec![0_u64, 1, 2, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]);
    (half(), half()).prop_map(|(high, low)| high << 32 | low)
}

fn any_condition() -> impl Strategy<Value = Condition> {
    use Comparison::{AtLeast, AtMost, Equal, Greater, Less, NotEqual};
    let comparison = sample::select(vec![Equal, NotEqual, Less, AtMost, Greater, AtLeast]);
    let mask = prop_oneof![Just(u64::MAX), any_number()];
    (0_u8..6, any::<bool>(), mask, comparison, any_number()).prop_map(
        |(argument, long, mask, comparison, value)| {
            let (width, value) = if long { (Width::Long, value) } else { (Width::Int, value & 0xffff_ffff) };
            Condition { argument, width, mask, comparison, value }
        },
    )
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let names: Vec<&str> = Abi::X86_64.numbers().into_keys().collect();
    let call = |names: Vec<&'static str>, most| {
        let conditions = collection::vec(any_condition(), 0..=most);
        (sample::select(names), conditions)
            .prop_map(|(name, conditions)| Call { name: name.to_owned(), conditions })
    };
    let plain = collection::vec(call(names.clone(), 0), 0..60);
    let looking = collection::vec(call(names, 3), 0..12);
    let unless = prop_oneof![Just(Vec::new()), Just(vec![Circumstance::Capability(vec![])])];
    (any_action(), unless, plain, looking).prop_map(|(action, unless, mut calls, looking)| {
        calls.extend(looking);
        Rule { action, when: Vec::new(), unless, calls }
    })
}

proptest! {
    #[test]
    fn any_profile_is_judged_as_it_reads(
        default in any_action(),
        unknown in any_action(),
        rules in collection::vec(any_rule(), 0..8),
        arguments in collection::vec(proptest::array::uniform6(any_number()), 3),
    ) {
        let profile = Profile { default, unknown, rules };
        let capabilities = BTreeSet::new();
        let program = match compile(&profile, &capabilities, &X86_64) {
            Ok(program) => program,
            Err(CompileError::TooLong { .. }) => return Ok(()),
        };
        let reader = Reader::new(&profile, &capabilities, &X86_64);
        let x32 = (0..560).map(|number| number + Abi::X32.bit());
        for number in (0..500).chain(x32) {
            for architecture in [Abi::X86_64.audit(), Abi::I386.audit()] {
                for arguments in &arguments {
                    let data = Data { number, architecture, arguments: *arguments };
                    prop_assert_eq!(run(&program, &data), reader.judge(&data), "{:x?}", data);
                }
            }
        }
    }
}

/// Calls `work` in a thread of its own, under the filter of a container with the default capabilities. The
/// thread takes the filter with it when it ends.
fn filtered<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::spawn(|| {
        let uname = rustix::system::uname();
        let (machine, release) = (uname.machine().to_string_lossy(), uname.release().to_string_lossy());
        let machine = Machine::from_uname(&machine, &release).expect("tests run where containers do");
        rustix::thread::set_no_new_privs(true).expect("anybody may");
        trice_sys::seccomp::install(&program(&Capability::default_set(), &machine))
            .expect("the kernel takes it");
        work()
    });
    thread.join().expect("the filter lets threads live")
}

#[test]
fn the_kernel_takes_the_program_and_obeys_it() {
    let opened = |family| {
        let family = AddressFamily::from_raw(family);
        filtered(move || rustix::net::socket(family, SocketType::SEQPACKET, None).map(|_| ()))
    };
    assert_eq!(opened(1), Ok(()), "AF_UNIX");
    assert_eq!(opened(38), Err(Errno::PERM), "AF_ALG");
    assert_eq!(opened(40), Err(Errno::PERM), "AF_VSOCK");
    // Were it let through, only the thread would have a network of its own.
    let unshared = filtered(|| unshare(Unshare::Net).map_err(|error| error.raw_os_error()));
    assert_eq!(unshared, Err(Some(Errno::PERM.raw_os_error())));
}

#[test]
fn programs_start_and_threads_are_made_under_the_filter() {
    let (status, answer) = filtered(|| {
        let status = Command::new("/bin/sh").args(["-c", "test $(echo 1 | cat) = 1"]).status();
        (status.map(|status| status.success()), std::thread::spawn(|| 42).join().ok())
    });
    assert_eq!((status.map_err(|error| error.kind()), answer), (Ok::<bool, ErrorKind>(true), Some(42)));
}
