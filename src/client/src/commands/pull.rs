//! `peapod pull`.

use std::io::BufRead;

use peapod_api::v1;

use crate::cli::PullArgs;
use crate::connect::{CriClient, PULL, call};

/// A password is not longer.
const LONGEST_PASSWORD: u64 = 64 << 10;

/// Pulls an image and prints its id.
pub(crate) async fn pull(connection: &CriClient, args: &PullArgs) -> anyhow::Result<()> {
    let auth = match &args.username {
        Some(username) => {
            Some(v1::AuthConfig { username: username.clone(), password: password()?, ..Default::default() })
        }
        None => None,
    };
    let image =
        v1::ImageSpec { image: args.image.clone(), user_specified_image: args.image.clone(), ..Default::default() };
    let request = v1::PullImageRequest { image: Some(image), auth, sandbox_config: None };
    let pulled = call("PullImage", PULL, connection.image.clone().pull_image(request)).await?;
    Ok(super::print(format!("{}\n", pulled.image_ref).as_bytes())?)
}

/// Never an argument: every user of the machine could read it.
pub(super) fn password() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::Read::take(std::io::stdin().lock(), LONGEST_PASSWORD).read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    anyhow::ensure!(!password.is_empty(), "no password: write it to standard input");
    Ok(password.to_owned())
}
