//! Plans as people read them: each test is a change to a project, and the steps that it leads to.

mod connect;
mod down;
mod names;
mod network;
mod reach;
mod run;
mod start;
mod up;
