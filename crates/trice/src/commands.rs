//! The commands: what was typed, then what is meant, then what is shown.

pub(crate) mod build;
pub(crate) mod builder;
pub(crate) mod commit;
pub(crate) mod config;
pub(crate) mod cp;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod down;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod export;
pub(crate) mod image;
pub(crate) mod images;
mod inside;
pub(crate) mod kill;
pub(crate) mod login;
pub(crate) mod logs;
pub(crate) mod ls;
pub(crate) mod network;
pub(crate) mod pause;
pub(crate) mod plan;
pub(crate) mod port;
pub(crate) mod ps;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod restart;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod scale;
pub(crate) mod search;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod system;
pub(crate) mod up;
pub(crate) mod version;
pub(crate) mod wait;

use crate::arguments::{Arguments, Command, help};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;

/// Carries out what was typed. Returns the code to end with.
pub(crate) fn carry_out(arguments: Arguments, invocation: &mut Invocation) -> Result<u8, Failure> {
    let Some(command) = arguments.command else {
        let text = if arguments.global.version { version::line() } else { help() };
        return output::print(&text).map(|()| 0);
    };
    match command {
        Command::Version(args) => version::run(&args),
        Command::Config(args) => config::run(&args, invocation),
        Command::Build(args) => block_on(build::run(&args, invocation)),
        Command::Up(args) => block_on(up::run(&args, invocation)),
        Command::Create(args) => block_on(up::create(&args, invocation)),
        Command::Down(args) => block_on(down::run(&args, invocation)),
        Command::Ps(args) => block_on(ps::run(&args, invocation)),
        Command::Logs(args) => block_on(logs::run(&args, invocation)),
        Command::Exec(args) => block_on(exec::run(&args, invocation)),
        Command::Run(args) => block_on(run::run(&args, invocation)),
        Command::Start(args) => block_on(start::run(&args, invocation)),
        Command::Stop(args) => block_on(stop::run(&args, invocation)),
        Command::Restart(args) => block_on(restart::run(&args, invocation)),
        Command::Wait(args) => block_on(wait::run(&args, invocation)),
        Command::Events(args) => block_on(events::run(&args, invocation)),
        Command::Kill(args) => block_on(kill::run(&args, invocation)),
        Command::Pause(args) => block_on(pause::run(&args, true, invocation)),
        Command::Unpause(args) => block_on(pause::run(&args, false, invocation)),
        Command::Rm(args) => block_on(rm::run(&args, invocation)),
        Command::Scale(args) => block_on(scale::run(&args, invocation)),
        Command::Port(args) => block_on(port::run(&args, invocation)),
        Command::Network(command) => block_on(network::run(&command, invocation)),
        Command::Pull(args) => block_on(pull::run(&args, invocation)),
        Command::Push(args) => block_on(push::run(&args, invocation)),
        Command::Images(args) => block_on(images::run(&args, invocation)),
        Command::Image(command) => block_on(image::run(&command, invocation)),
        Command::Login(args) => block_on(login::login(&args, invocation)),
        Command::Logout(args) => login::logout(&args, invocation),
        Command::Search(args) => block_on(search::run(&args, invocation)),
        Command::Builder(command) => block_on(builder::run(&command, invocation)),
        Command::System(command) => block_on(system::run(&command, invocation)),
        Command::Cp(args) => block_on(cp::run(&args, invocation)),
        Command::Diff(args) => block_on(diff::run(&args, invocation)),
        Command::Export(args) => block_on(export::run(&args, invocation)),
        Command::Commit(args) => block_on(commit::run(&args, invocation)),
        Command::Plan(args) => block_on(plan::run(&args, invocation)),
        Command::Ls(args) => block_on(ls::run(&args, invocation)),
        Command::Doctor(args) => block_on(doctor::run(&args, invocation)),
    }
}

/// Runs a command that talks to the engine.
fn block_on(command: impl Future<Output = Result<u8, Failure>>) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::surroundings("prepare to wait for the engine"))?;
    let result = runtime.block_on(command);
    // Threads that still read the terminal end with the process.
    runtime.shutdown_background();
    result
}
