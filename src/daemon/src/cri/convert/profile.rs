//! Seccomp, AppArmor and SELinux.

use std::path::PathBuf;

use peapod_api::v1::security_profile::ProfileType;
use peapod_api::v1::{SeLinuxOption, SecurityProfile};
use peapod_spec::container::{ApparmorProfile, SeccompProfile, SelinuxOptions};
use peapod_text::excerpt;

use super::field::{Checked, FieldError, absolute_path, known, not_empty};

/// A profile in the form that preceded the messages: `runtime/default`, `unconfined`, `localhost/NAME`.
enum OldForm {
    RuntimeDefault,
    Unconfined,
    Localhost(String),
}

/// Absent means unconfined; the older field counts only where the newer one is absent.
pub(super) fn seccomp(new: Option<SecurityProfile>, old: &str) -> Checked<Option<SeccompProfile>> {
    let Some(profile) = new else {
        return Ok(match old_form("seccomp_profile_path", old)? {
            None => None,
            Some(OldForm::RuntimeDefault) => Some(SeccompProfile::RuntimeDefault),
            Some(OldForm::Unconfined) => Some(SeccompProfile::Unconfined),
            Some(OldForm::Localhost(path)) => {
                Some(SeccompProfile::Localhost(absolute_path("seccomp_profile_path", path)?))
            }
        });
    };
    Ok(Some(match known("seccomp.profile_type", profile.profile_type)? {
        ProfileType::RuntimeDefault => SeccompProfile::RuntimeDefault,
        ProfileType::Unconfined => SeccompProfile::Unconfined,
        ProfileType::Localhost => SeccompProfile::Localhost(localhost_file(profile.localhost_ref)?),
    }))
}

/// Absent means the node's default.
pub(super) fn apparmor(new: Option<SecurityProfile>, old: &str) -> Checked<Option<ApparmorProfile>> {
    let Some(profile) = new else {
        return Ok(match old_form("apparmor_profile", old)? {
            None => None,
            Some(OldForm::RuntimeDefault) => Some(ApparmorProfile::RuntimeDefault),
            Some(OldForm::Unconfined) => Some(ApparmorProfile::Unconfined),
            Some(OldForm::Localhost(name)) => {
                Some(ApparmorProfile::Localhost(super::field::name("apparmor_profile", name)?))
            }
        });
    };
    Ok(Some(match known("apparmor.profile_type", profile.profile_type)? {
        ProfileType::RuntimeDefault => ApparmorProfile::RuntimeDefault,
        ProfileType::Unconfined => ApparmorProfile::Unconfined,
        ProfileType::Localhost => {
            // Some clients carry the prefix of the older form over.
            let name = profile.localhost_ref.strip_prefix("localhost/").unwrap_or(&profile.localhost_ref);
            ApparmorProfile::Localhost(super::field::name("apparmor.localhost_ref", name.to_owned())?)
        }
    }))
}

/// A label; one without content is none.
pub(super) fn selinux(options: Option<SeLinuxOption>) -> Checked<Option<SelinuxOptions>> {
    let Some(options) = options else { return Ok(None) };
    let label = SelinuxOptions { user: options.user, role: options.role, type_: options.r#type, level: options.level };
    label.check().map_err(|error| FieldError::new("selinux_options", error.to_string()))?;
    Ok((label != SelinuxOptions::default()).then_some(label))
}

fn localhost_file(reference: String) -> Checked<PathBuf> {
    let field = "seccomp.localhost_ref";
    let path = reference.strip_prefix("localhost/").map(str::to_owned).unwrap_or(reference);
    absolute_path(field, not_empty(field, path)?)
}

fn old_form(field: &str, text: &str) -> Checked<Option<OldForm>> {
    Ok(Some(match text {
        "" => return Ok(None),
        "runtime/default" | "docker/default" => OldForm::RuntimeDefault,
        "unconfined" => OldForm::Unconfined,
        _ => match text.strip_prefix("localhost/") {
            Some(name) => OldForm::Localhost(name.to_owned()),
            None => {
                let reason = format!("{} should be runtime/default, unconfined or localhost/NAME", excerpt(text));
                return Err(FieldError::new(field, reason));
            }
        },
    }))
}
