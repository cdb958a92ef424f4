//! Images as their clients see them, and credentials.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use peapod_api::v1;
use peapod_image::{Credentials, Image};
use peapod_spec::bounds::IMAGE_NAME_BYTES;

use super::field::{Checked, FieldError, not_empty, required, short};

/// An image.
pub(crate) fn image(image: &Image) -> v1::Image {
    let (uid, username) = user(&image.config.user);
    v1::Image {
        id: image.id.to_string(),
        repo_tags: image.repo_tags.clone(),
        repo_digests: image.repo_digests.clone(),
        size: image.size,
        uid,
        username,
        spec: Some(v1::ImageSpec {
            image: image.id.to_string(),
            annotations: image.annotations.clone(),
            ..v1::ImageSpec::default()
        }),
        pinned: image.pinned,
    }
}

/// The reference of a request that has to name an image.
pub(crate) fn reference(spec: Option<v1::ImageSpec>) -> Checked<String> {
    image_name("image.image", required("image", spec)?.image)
}

/// The same where it is a text.
pub(crate) fn image_name(field: &str, name: String) -> Checked<String> {
    not_empty(field, short(field, name, IMAGE_NAME_BYTES)?)
}

/// Who pulls; `None` is nobody in particular.
pub(crate) fn credentials(auth: Option<v1::AuthConfig>) -> Checked<Option<Credentials>> {
    let Some(auth) = auth else { return Ok(None) };
    let mut credentials = Credentials {
        username: auth.username,
        password: auth.password,
        identity_token: auth.identity_token,
        registry_token: auth.registry_token,
        server_address: auth.server_address,
    };
    if credentials.username.is_empty() && credentials.password.is_empty() && !auth.auth.is_empty() {
        (credentials.username, credentials.password) = pair(&auth.auth)?;
    }
    let nothing = Credentials { server_address: credentials.server_address.clone(), ..Credentials::default() };
    Ok((credentials != nothing).then_some(credentials))
}

/// Base64 of `user:password`, as Docker's configuration has it. Errors show nothing of it.
fn pair(text: &str) -> Checked<(String, String)> {
    let wrong = |reason: &str| FieldError::new("auth.auth", reason);
    let text = text.trim();
    let bytes = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).map_err(|_| wrong("is not base64"))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("does not decode to text"))?;
    let (user, password) = text.split_once(':').ok_or_else(|| wrong("does not decode to \"user:password\""))?;
    // Some writers end the password with a NUL.
    Ok((user.to_owned(), password.trim_end_matches('\0').to_owned()))
}

/// A number is a uid, anything else a name; the group is not told.
fn user(text: &str) -> (Option<v1::Int64Value>, String) {
    let user = text.split(':').next().unwrap_or_default();
    match user.parse::<i64>() {
        Ok(value) => (Some(v1::Int64Value { value }), String::new()),
        Err(_) => (None, user.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_without_their_groups() {
        let uid = |value| (Some(v1::Int64Value { value }), String::new());
        assert_eq!(user(""), (None, String::new()));
        assert_eq!(user("1002"), uid(1002));
        assert_eq!(user("1003:1004"), uid(1003));
        assert_eq!(user("www-data"), (None, "www-data".into()));
        assert_eq!(user("www-data:1004"), (None, "www-data".into()));
    }

    #[test]
    fn credentials_in_every_form() {
        let auth = |auth: &str| Some(v1::AuthConfig { auth: auth.into(), ..Default::default() });
        let pulled = credentials(auth("YWxpY2U6cGE6c3M=")).unwrap().unwrap();
        assert_eq!((pulled.username.as_str(), pulled.password.as_str()), ("alice", "pa:ss"));
        assert_eq!(credentials(Some(v1::AuthConfig::default())), Ok(None));
        assert_eq!(credentials(None), Ok(None));
        let error = credentials(auth("c2VjcmV0")).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
        let token = v1::AuthConfig { registry_token: "t".into(), ..Default::default() };
        assert_eq!(credentials(Some(token)).unwrap().unwrap().registry_token, "t");
    }
}
