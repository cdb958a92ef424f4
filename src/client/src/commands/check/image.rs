//! `peapod check image`: what a pull would do, step by step.

use std::time::Duration;

use peapod_api::own::{CheckImageRequest, CheckStep};

use super::report::CheckReport;
use crate::connect::{CriClient, call};
use crate::image_cli::CheckImageArgs;

/// Several hosts are asked one after the other, each with a time-out of its own.
const CHECK: Duration = Duration::from_secs(600);

pub(super) async fn check_image(connection: &CriClient, args: &CheckImageArgs) -> anyhow::Result<CheckReport> {
    let password = if args.username.is_some() { crate::commands::password()? } else { String::new() };
    let username = args.username.clone().unwrap_or_default();
    let request = CheckImageRequest { image: args.image.clone(), username, password };
    let answer = call("CheckImage", CHECK, connection.store.clone().check_image(request)).await;
    let instead = "`crictl pull` says how a pull ends";
    let answer = answer.map_err(|error| crate::commands::own_service(connection, error, "explain pulls", instead))?;
    let mut report = CheckReport::default();
    report.works("name", answer.reference);
    for CheckStep { what, found, failed } in answer.steps {
        match failed {
            // Another host may serve: then nothing has failed.
            true if answer.works => report.notice(&what, format!("does not serve it: {found}"), None),
            true => report.fails(&what, found, "a pull would end with this; `peapod pull` says it in one line"),
            false => report.works(&what, found),
        }
    }
    if answer.works {
        report.works("pull", "would find the image");
    } else {
        report.fails("pull", format!("would find no image for {}", answer.platform), "see the steps above");
    }
    Ok(report)
}
