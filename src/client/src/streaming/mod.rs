//! Sessions of exec, attach and port-forward: what lies behind the URL that a runtime answers.
//!
//! WebSocket with the channels of Kubernetes is spoken, which every CRI runtime knows, version 5 before 4: before 5
//! nobody can be told that an input has ended.

mod channel;
mod command;
mod command_source;
mod connect;
mod end;
mod error;
mod forward;
mod input;
mod output;
mod signals;
mod terminal;
#[cfg(test)]
mod tests;
mod transfer;

pub(crate) use command::{CommandSide, converse};
pub(crate) use connect::believing;
pub(crate) use error::StreamError;
pub(crate) use forward::forward;
pub(crate) use input::standard_input;
pub(crate) use output::RawOutput;
pub(crate) use signals::{EndingSignals, unless_signalled};
pub(crate) use transfer::{TransferEnd, transfer};

#[cfg(test)]
pub(crate) use {connect::SessionUrl, end::exit_code};
