//! The operations of the specification, each on all plugins of a list.

use super::conflist::{Conflist, Object, excerpt, kind};
use super::error::CniError;
use super::exec::{self, ExecError, PluginOutput};
use crate::stages;
use peapod_trace::Span;
use rustix::fs::{Access, access};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The link that is made in the pod.
pub(crate) const INTERFACE: &str = "eth0";
/// How many plugins run at once.
const AT_ONCE: usize = 32;
/// How long a plugin may still run when the daemon ends: most are done by then.
const LAST_MOMENT: Duration = Duration::from_millis(150);

/// What an operation is about.
pub(crate) struct PluginSubject<'a> {
    pub(crate) id: &'a str,
    /// None: it is gone.
    pub(crate) netns: Option<&'a Path>,
    /// `CNI_ARGS`.
    pub(crate) args: &'a str,
    pub(crate) capabilities: &'a Object,
    /// What is told which plugin runs.
    pub(crate) span: &'a Span,
}

/// Finds and runs plugins.
pub(crate) struct Caller {
    pub(crate) bin_dirs: Vec<PathBuf>,
    /// For each plugin.
    pub(crate) limit: Duration,
    pub(crate) closing: CancellationToken,
    permits: Semaphore,
}

impl Caller {
    pub(crate) fn new(bin_dirs: Vec<PathBuf>, limit: Duration, closing: CancellationToken) -> Self {
        Self { bin_dirs, limit, closing, permits: Semaphore::new(AT_ONCE) }
    }

    /// Connects; gives the result of the last plugin.
    pub(crate) async fn add(&self, list: &Conflist, subject: &PluginSubject<'_>) -> Result<Value, CniError> {
        let mut result = None;
        for plugin in &list.plugins {
            let input = list.input(plugin, subject.capabilities, result.as_ref());
            let output = self.call("ADD", list, plugin, &input, Some(subject)).await?;
            result = Some(parse(plugin, &output)?);
        }
        Ok(result.unwrap_or_default())
    }

    /// Disconnects, the last plugin first. Goes on after errors and gives all of them.
    pub(crate) async fn del(
        &self,
        list: &Conflist,
        subject: &PluginSubject<'_>,
        result: Option<&Value>,
    ) -> Vec<CniError> {
        let result = result.filter(|_| list.version >= super::conflist::Version::V0_4_0);
        let mut errors = Vec::new();
        for plugin in list.plugins.iter().rev() {
            let input = list.input(plugin, subject.capabilities, result);
            errors.extend(self.call("DEL", list, plugin, &input, Some(subject)).await.err());
        }
        errors
    }

    /// Looks whether it is still connected.
    pub(crate) async fn check(
        &self,
        list: &Conflist,
        subject: &PluginSubject<'_>,
        result: &Value,
    ) -> Result<(), CniError> {
        for plugin in &list.plugins {
            let input = list.input(plugin, subject.capabilities, Some(result));
            self.call("CHECK", list, plugin, &input, Some(subject)).await?;
        }
        Ok(())
    }

    /// Whether pods can be connected: all programs are there, and do not say no.
    pub(crate) async fn status(&self, list: &Conflist) -> Result<(), CniError> {
        for plugin in &list.plugins {
            self.find(kind(plugin))?;
        }
        if list.version < super::conflist::Version::V1_1_0 {
            return Ok(());
        }
        for plugin in &list.plugins {
            self.call("STATUS", list, plugin, &list.input(plugin, &Object::new(), None), None).await?;
        }
        Ok(())
    }

    /// Has everything taken away that belongs to none of these.
    pub(crate) async fn gc(&self, list: &Conflist, valid: &[String]) -> Vec<CniError> {
        let valid: Vec<Value> = valid.iter().map(|id| json!({"containerID": id, "ifname": INTERFACE})).collect();
        let mut errors = Vec::new();
        for plugin in &list.plugins {
            let mut input = list.input(plugin, &Object::new(), None);
            input.insert("cni.dev/valid-attachments".to_owned(), valid.clone().into());
            errors.extend(self.call("GC", list, plugin, &input, None).await.err());
        }
        errors
    }

    fn find(&self, plugin: &str) -> Result<PathBuf, CniError> {
        let is_program = |path: &PathBuf| path.is_file() && access(path, Access::EXEC_OK).is_ok();
        self.bin_dirs
            .iter()
            .map(|dir| dir.join(plugin))
            .find(is_program)
            .ok_or_else(|| CniError::Missing { plugin: plugin.to_owned(), searched: self.bin_dirs.clone() })
    }

    async fn call(
        &self,
        command: &'static str,
        list: &Conflist,
        plugin: &Object,
        input: &Object,
        subject: Option<&PluginSubject<'_>>,
    ) -> Result<Vec<u8>, CniError> {
        let name = kind(plugin);
        if let Some(subject) = subject {
            subject.span.enter_on(&stages::PLUGIN, format_args!("{name} ({command})"));
        }
        let program = self.find(name)?;
        let join = |paths: &[PathBuf]| paths.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>().join(":");
        let mut environment = vec![("CNI_COMMAND", command.to_owned()), ("CNI_PATH", join(&self.bin_dirs))];
        let netns = subject.and_then(|subject| subject.netns).map(|path| path.to_string_lossy().into_owned());
        environment.push(("CNI_CONTAINERID", subject.map(|subject| subject.id.to_owned()).unwrap_or_default()));
        environment.push(("CNI_NETNS", netns.unwrap_or_default()));
        environment.push(("CNI_IFNAME", subject.map(|_| INTERFACE.to_owned()).unwrap_or_default()));
        environment.push(("CNI_ARGS", subject.map(|subject| subject.args.to_owned()).unwrap_or_default()));
        let failed = |source| CniError::Run { plugin: name.to_owned(), command, source };
        let input = serde_json::to_vec(input).map_err(|source| failed(source.into()))?;
        let stop = async {
            self.closing.cancelled().await;
            tokio::time::sleep(LAST_MOMENT).await;
        };
        let _permit = self.permits.acquire().await.map_err(|_| CniError::Closed)?;
        let ended = exec::run(&program, &environment, &input, self.limit, stop).await;
        let ended = ended.map_err(|trouble| match trouble {
            ExecError::Io(source) => failed(source),
            ExecError::Slow => CniError::Slow { plugin: name.to_owned(), command, limit: self.limit },
            ExecError::Talks => garbage(name, command, "it is longer than 1 MiB"),
            ExecError::Stopped => CniError::Closed,
        })?;
        if ended.status.success() { Ok(ended.stdout) } else { Err(refusal(name, command, list, &ended)) }
    }
}

fn garbage(plugin: &str, command: &'static str, what: impl Into<String>) -> CniError {
    CniError::Garbage { plugin: plugin.to_owned(), command, what: what.into() }
}

/// The answer to ADD: an object.
fn parse(plugin: &Object, output: &[u8]) -> Result<Value, CniError> {
    let wrong = |what: String| garbage(kind(plugin), "ADD", what);
    let value: Value = serde_json::from_slice(output).map_err(|error| wrong(excerpt(&error.to_string())))?;
    if value.is_object() { Ok(value) } else { Err(wrong("it is no object".to_owned())) }
}

/// What a plugin says about its failure: an object on standard output, else whatever it wrote.
fn refusal(plugin: &str, command: &'static str, list: &Conflist, ended: &PluginOutput) -> CniError {
    let text = |value: &Value, key: &str| excerpt(value.get(key).and_then(Value::as_str).unwrap_or_default());
    if let Ok(output) = serde_json::from_slice::<Value>(&ended.stdout)
        && let Some(code) = output.get("code").and_then(Value::as_u64)
    {
        let (message, details) = (text(&output, "msg"), text(&output, "details"));
        let message = if details.is_empty() { message } else { format!("{message}: {details}") };
        return CniError::Refused { plugin: plugin.to_owned(), command, network: list.name.clone(), code, message };
    }
    let wrote = if ended.stderr.is_empty() { &ended.stdout } else { &ended.stderr };
    let stderr = excerpt(&String::from_utf8_lossy(wrote));
    CniError::Failed { plugin: plugin.to_owned(), command, status: ended.status, stderr }
}
