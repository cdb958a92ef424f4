//! `peapod check`: what works, what does not, and the way out.

mod devices;
mod from;
mod handlers;
mod image;
mod network;
mod node;
mod plugins;
mod report;
mod store;

use std::path::Path;

use crate::connect::CriClient;
use crate::image_cli::{CheckArgs, CheckSubject};
use crate::start_daemon;
use node::NodeFiles;
use report::CheckReport;

/// Looks at one thing, or at all of them in short. Answers the exit status: 1 if something does not work.
///
/// Most of it needs no runtime, and is there for when none starts.
pub(crate) async fn check(url: &str, args: &CheckArgs) -> anyhow::Result<u8> {
    let machine = NodeFiles::new(Path::new("/"));
    let report = match (&args.subject, args.from) {
        (Some(CheckSubject::Node), _) => {
            let mut report = node::check_node(&machine);
            // No runtime has to be there for what the node has; of one that is there, plugins are part of the node.
            if let Ok(connection) = CriClient::open(url).await
                && let Ok(of_plugins) = plugins::check_plugins(&connection).await
            {
                report.0.extend(of_plugins.0);
            }
            report
        }
        (Some(CheckSubject::Network), _) => network::check_network(&machine),
        (Some(CheckSubject::Store), _) => {
            let (report, text) = store::check_store(&CriClient::open(url).await?).await?;
            return say(&report, &text);
        }
        (Some(CheckSubject::Handlers), _) => {
            let (report, text) = handlers::check_handlers(&CriClient::open(url).await?).await?;
            return say(&report, &text);
        }
        (Some(CheckSubject::Devices), _) => {
            let (report, text) = devices::check_devices(&CriClient::open(url).await?).await?;
            return say(&report, &text);
        }
        (Some(CheckSubject::Image(image)), _) => image::check_image(&CriClient::open(url).await?, image).await?,
        (None, Some(runtime)) => from::check_from(runtime, args.file.as_deref())?,
        (None, None) => everything(url, &machine).await,
    };
    say(&report, "")
}

fn say(report: &CheckReport, more: &str) -> anyhow::Result<u8> {
    super::print(format!("{}{more}", report.text()).as_bytes())?;
    Ok(u8::from(report.has_failed()))
}

/// All that needs no name.
async fn everything(url: &str, machine: &NodeFiles) -> CheckReport {
    let mut report = node::check_node(machine);
    report.0.extend(network::check_network(machine).0);
    let connection = match CriClient::open(url).await {
        Ok(connection) => connection,
        Err(error) => {
            report.fails("runtime", format!("{error:#}"), &start_daemon::way_to_start(Path::new("/")));
            return report;
        }
    };
    report.works("runtime", format!("{} at {url}", connection.runtime_name));
    conditions(&connection, &mut report).await;
    match store::check_store(&connection).await {
        Ok((of_store, _)) => report.0.extend(of_store.0),
        Err(error) => report.notice("store", format!("{error:#}"), None),
    }
    match handlers::check_handlers(&connection).await {
        Ok((of_handlers, _)) => report.0.extend(of_handlers.0),
        Err(error) => report.notice("handlers", format!("{error:#}"), None),
    }
    match devices::check_devices(&connection).await {
        Ok((of_devices, _)) => report.0.extend(of_devices.0),
        Err(error) => report.notice("CDI devices", format!("{error:#}"), None),
    }
    match plugins::check_plugins(&connection).await {
        Ok(of_plugins) => report.0.extend(of_plugins.0),
        Err(error) => report.notice("NRI plugins", format!("{error:#}"), None),
    }
    report
}

/// What the runtime says of itself.
async fn conditions(connection: &CriClient, report: &mut CheckReport) {
    let request = peapod_api::v1::StatusRequest::default();
    let status =
        crate::connect::call("Status", crate::connect::QUICK, connection.runtime.clone().status(request)).await;
    let conditions = match status {
        Ok(answer) => answer.status.unwrap_or_default().conditions,
        Err(error) => return report.fails("status", error.to_string(), "read the runtime's log"),
    };
    for condition in conditions {
        if condition.status {
            report.works(&condition.r#type, condition.message);
        } else {
            let found = format!("{}: {}", condition.reason, condition.message);
            report.fails(&condition.r#type, found, "do what the message says, or read the runtime's log");
        }
    }
}
