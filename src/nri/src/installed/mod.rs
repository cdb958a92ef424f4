//! Plugins that are installed on the node: the runtime starts them, each with its end of a connection, and starts one
//! that has ended again.

mod files;
mod output;
mod process;

use std::convert::Infallible;
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::pin;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use peapod_sys::sync::lock;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use crate::name::PluginName;
use crate::plugins::{InstalledPlugins, Plugins};
use crate::session::{self, PluginOrigin};
use crate::starting::FirstChance;
use crate::state::InstalledSettings;
use files::{InstalledFile, InstalledFileError, InstalledFound};
use output::OutputLines;
use process::PluginProcess;

/// Before one that has ended is started again; each time twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// At most; one that has lived so long begins with the first pause again.
const LAST_PAUSE: Duration = Duration::from_secs(60);
/// For one that was closed to end by itself, and for what it has written to be read.
const MOMENT: Duration = Duration::from_millis(500);

impl InstalledPlugins {
    /// Starts all of them, and keeps them running. What is made waits until each was let in, or has failed once.
    pub async fn serve(self) -> Infallible {
        let Self { plugins, settings, chance } = self;
        let found = find(&plugins, &settings).await;
        let mut kept = JoinSet::new();
        for file in found {
            let (plugins, settings, first) = (plugins.clone(), settings.clone(), plugins.0.starting.begin());
            kept.spawn(async move { keep(&plugins, &settings, &file, first).await });
        }
        drop(chance);
        while kept.join_next().await.is_some() {}
        std::future::pending().await
    }
}

/// Looks which there are, and tells of what is none.
async fn find(plugins: &Plugins, settings: &InstalledSettings) -> Vec<InstalledFile> {
    let folder = settings.programs.clone();
    let looked = spawn_blocking(move || files::find(&folder)).await;
    let InstalledFound { plugins: found, left_out } = match looked {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            let reason = peapod_text::chain(&error);
            tracing::warn!(folder = %settings.programs.display(), reason, "no installed NRI plugin is started");
            lock(&plugins.0.down).insert(settings.programs.display().to_string(), reason);
            InstalledFound::default()
        }
        Err(_) => InstalledFound::default(),
    };
    for (name, error) in left_out {
        let reason = peapod_text::chain(&error);
        tracing::warn!(file = %peapod_text::excerpt(&name), reason, "an installed NRI plugin is not started");
        lock(&plugins.0.down).insert(name, reason);
    }
    found
}

/// Has a plugin run, until its file is gone.
async fn keep(plugins: &Plugins, settings: &InstalledSettings, file: &InstalledFile, first: FirstChance) {
    let (mut first, mut pause) = (Some(first), FIRST_PAUSE);
    loop {
        let began = Instant::now();
        let ended = run(plugins, settings, file, first.take()).await;
        let Some(reason) = ended else {
            lock(&plugins.0.down).remove(&file.name.to_string());
            return tracing::info!(plugin = %file.name, "an installed NRI plugin is gone from its folder");
        };
        if began.elapsed() >= LAST_PAUSE {
            pause = FIRST_PAUSE;
        }
        let again = pause.as_secs();
        tracing::warn!(plugin = %file.name, reason, again, "an installed NRI plugin has ended; it is started again");
        lock(&plugins.0.down).insert(file.name.to_string(), reason);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// One life. Answers why it is over; `None` if there is no such file any more.
async fn run(
    plugins: &Plugins,
    settings: &InstalledSettings,
    file: &InstalledFile,
    first: Option<FirstChance>,
) -> Option<String> {
    let (looked_at, folder) = (file.clone(), settings.configurations.clone());
    let configuration = match spawn_blocking(move || looked_at.read(&folder)).await {
        Ok(Ok(configuration)) => configuration,
        Ok(Err(error)) if is_gone(&error, file) => return None,
        Ok(Err(error)) => return Some(peapod_text::chain(&error)),
        Err(_) => return Some("the daemon ends".to_owned()),
    };
    match start(file).await {
        Ok((stream, process)) => {
            plugins.0.measures.starts.increment();
            lock(&plugins.0.down).remove(&file.name.to_string());
            let origin = PluginOrigin::Installed { name: file.name.clone(), configuration, first };
            Some(live(plugins, &file.name, stream, process, origin).await)
        }
        Err(error) => Some(format!("it can't be started: {error}")),
    }
}

fn is_gone(error: &InstalledFileError, file: &InstalledFile) -> bool {
    error.is_gone() && !file.path.exists()
}

async fn start(file: &InstalledFile) -> io::Result<(UnixStream, PluginProcess)> {
    let (ours, its) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let stream = UnixStream::from_std(ours)?;
    Ok((stream, PluginProcess::start(file, its).await?))
}

/// From its start to its end. Answers why it ended.
async fn live(
    plugins: &Plugins,
    name: &PluginName,
    stream: UnixStream,
    mut process: PluginProcess,
    origin: PluginOrigin,
) -> String {
    let PluginProcess { group, output, ended } = &mut process;
    let (gone, is_gone) = oneshot::channel::<Infallible>();
    let served = async {
        let mut session = pin!(session::serve(plugins, stream, origin));
        let reason = tokio::select! {
            // Its connection is closed, of which it hears.
            () = &mut session => match timeout(MOMENT, &mut *ended).await {
                Ok(ended) => told(ended),
                Err(_) => {
                    group.kill();
                    // One that hangs in the kernel is left to its thread.
                    let _ = timeout(MOMENT, &mut *ended).await;
                    "it was closed, did not end by itself and was killed".to_owned()
                }
            },
            status = &mut *ended => {
                let reason = told(status);
                // The end of its connection follows, if nobody else has that.
                let _ = timeout(MOMENT, &mut session).await;
                reason
            }
        };
        drop(gone);
        reason
    };
    let logged = async {
        let some_time = async {
            // Nobody sends anything.
            let _ = is_gone.await;
            tokio::time::sleep(MOMENT).await;
        };
        tokio::select! {
            () = log(name, output) => {}
            () = some_time => {}
        }
    };
    tokio::join!(served, logged).0
}

fn told(ended: Result<io::Result<ExitStatus>, oneshot::error::RecvError>) -> String {
    match ended {
        Ok(Ok(status)) => status.to_string(),
        Ok(Err(error)) => format!("nobody knows how: {error}"),
        Err(_) => "nobody knows how".to_owned(),
    }
}

/// Writes to the log what a plugin says, until all that have its outputs have closed them.
async fn log(name: &PluginName, output: &mut pipe::Receiver) {
    let mut said = SaidLines { name, lines: Some(OutputLines::new(Instant::now())) };
    let mut piece = vec![0; 4096];
    loop {
        match output.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(bytes) => said.take(piece.get(..bytes).unwrap_or_default()),
        }
    }
}

/// What was said, and at the end what was left out.
struct SaidLines<'a> {
    name: &'a PluginName,
    lines: Option<OutputLines>,
}

impl SaidLines<'_> {
    fn take(&mut self, bytes: &[u8]) {
        let lines = self.lines.as_mut().map(|lines| lines.take(bytes, Instant::now()));
        self.say(lines.unwrap_or_default());
    }

    fn say(&self, lines: Vec<String>) {
        for line in lines {
            tracing::info!(plugin = %self.name, line, "an installed NRI plugin says");
        }
    }
}

impl Drop for SaidLines<'_> {
    fn drop(&mut self) {
        let lines = self.lines.take().map(|lines| lines.end(Instant::now()));
        self.say(lines.unwrap_or_default());
    }
}
