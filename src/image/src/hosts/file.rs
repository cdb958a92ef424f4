//! The text of a `hosts.toml`. Pure.

use crate::bounds::HOSTS_FILE_BYTES;

use super::{Connection, RegistryHost, beside, is_local, upstream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::{Table, Value};

/// Reads a hosts.toml that stands in `folder` and is about `registry`.
pub(super) fn parse(text: &str, registry: &str, folder: &Path) -> Result<Vec<RegistryHost>, String> {
    if text.len() > HOSTS_FILE_BYTES {
        return Err(format!("has more than {} KiB", HOSTS_FILE_BYTES >> 10));
    }
    let mut root: Table = text.parse().map_err(|error: toml::de::Error| error.to_string().trim_end().to_owned())?;
    let listed = match root.remove("host") {
        None => Table::new(),
        Some(Value::Table(hosts)) => hosts,
        Some(_) => return Err("host is not a table: write [host.\"https://mirror.example\"]".to_owned()),
    };
    let server = take_string(&mut root, "server")?;
    let mut hosts = Vec::new();
    for (url, settings) in listed {
        let Value::Table(settings) = settings else {
            return Err(format!("host.\"{url}\" is not a table"));
        };
        hosts.push(
            host(&url, settings, registry, folder, false).map_err(|problem| format!("host.\"{url}\": {problem}"))?,
        );
    }
    match server {
        Some(url) => {
            hosts.push(host(&url, root, registry, folder, true).map_err(|problem| format!("server: {problem}"))?);
        }
        None => {
            // Settings beside no server are about the registry itself.
            for own in upstream(registry) {
                let url = format!("{}/", own.origin());
                hosts.push(host(&url, root.clone(), registry, folder, true)?);
            }
        }
    }
    Ok(hosts)
}

fn host(
    url: &str,
    mut settings: Table,
    registry: &str,
    folder: &Path,
    authority: bool,
) -> Result<RegistryHost, String> {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
        Some((scheme, _)) => return Err(format!("scheme {scheme:?} is neither http nor https")),
        None if is_local(url.split('/').next().unwrap_or(url)) => ("http", url),
        None => ("https", url),
    };
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    if address.is_empty() {
        return Err("has no host name".to_owned());
    }
    let path = path.trim_matches('/');
    let override_path = take_bool(&mut settings, "override_path")?;
    let path = match path {
        "" if override_path => String::new(),
        "" => "/v2".to_owned(),
        path if override_path || path == "v2" || path.ends_with("/v2") => format!("/{path}"),
        path => format!("/{path}/v2"),
    };
    let (resolves, pulls) = capabilities(&mut settings)?;
    let connection = Connection {
        ca: take_strings(&mut settings, "ca")?.iter().map(|path| beside(folder, path)).collect(),
        client: client(&mut settings, folder)?,
        skip_verify: take_bool(&mut settings, "skip_verify")?,
        dial_timeout: take_string(&mut settings, "dial_timeout")?.map(|text| duration(&text)).transpose()?,
    };
    let headers = headers(&mut settings)?;
    if let Some(unknown) = settings.keys().next() {
        return Err(format!(
            "unknown key {unknown:?}: known are capabilities, ca, client, skip_verify, override_path, dial_timeout, header"
        ));
    }
    let own = upstream(registry).first().map(|host| host.address.clone());
    Ok(RegistryHost {
        base: format!("{scheme}://{address}{path}"),
        mirror: own.is_none_or(|own| own != address),
        authority,
        address: address.to_owned(),
        resolves,
        pulls,
        headers,
        connection,
    })
}

/// Absent means everything.
fn capabilities(settings: &mut Table) -> Result<(bool, bool), String> {
    if !settings.contains_key("capabilities") {
        return Ok((true, true));
    }
    let (mut resolves, mut pulls) = (false, false);
    for capability in take_strings(settings, "capabilities")? {
        match capability.as_str() {
            "resolve" => resolves = true,
            "pull" => pulls = true,
            "push" | "referrers" => {}
            other => return Err(format!("capability {other:?} is none of pull, resolve, push, referrers")),
        }
    }
    Ok((resolves, pulls))
}

/// One file; or a list whose members are files, or pairs of certificate and key.
fn client(settings: &mut Table, folder: &Path) -> Result<Vec<(PathBuf, Option<PathBuf>)>, String> {
    let wrong = || "client is not a file, a list of files or a list of [certificate, key]".to_owned();
    let members = match settings.remove("client") {
        None => return Ok(Vec::new()),
        Some(Value::Array(members)) => members,
        Some(one) => vec![one],
    };
    members
        .into_iter()
        .map(|member| match member {
            Value::String(path) => Ok((beside(folder, &path), None)),
            Value::Array(pair) => match pair.as_slice() {
                [Value::String(certificate)] => Ok((beside(folder, certificate), None)),
                [Value::String(certificate), Value::String(key)] if key.is_empty() => {
                    Ok((beside(folder, certificate), None))
                }
                [Value::String(certificate), Value::String(key)] => {
                    Ok((beside(folder, certificate), Some(beside(folder, key))))
                }
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        })
        .collect()
}

fn headers(settings: &mut Table) -> Result<Vec<(String, String)>, String> {
    let table = match settings.remove("header") {
        None => return Ok(Vec::new()),
        Some(Value::Table(table)) => table,
        Some(_) => return Err("header is not a table".to_owned()),
    };
    let mut headers = Vec::new();
    for (name, value) in table {
        for value in strings(value).ok_or_else(|| format!("header {name:?} is not a text or a list of texts"))? {
            headers.push((name.clone(), value));
        }
    }
    Ok(headers)
}

fn strings(value: Value) -> Option<Vec<String>> {
    match value {
        Value::String(one) => Some(vec![one]),
        Value::Array(many) => many
            .into_iter()
            .map(|value| match value {
                Value::String(text) => Some(text),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

fn take_strings(settings: &mut Table, key: &str) -> Result<Vec<String>, String> {
    match settings.remove(key) {
        None => Ok(Vec::new()),
        Some(value) => strings(value).ok_or_else(|| format!("{key} is not a text or a list of texts")),
    }
}

fn take_string(settings: &mut Table, key: &str) -> Result<Option<String>, String> {
    match settings.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{key} is not a text")),
    }
}

fn take_bool(settings: &mut Table, key: &str) -> Result<bool, String> {
    match settings.remove(key) {
        None => Ok(false),
        Some(Value::Boolean(value)) => Ok(value),
        Some(_) => Err(format!("{key} is neither true nor false")),
    }
}

/// `5s`, `500ms`, `1m`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| format!("{text:?} is not a time such as 5s"))?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err(format!("{text:?} is not a time such as 5s")),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use std::path::Path;

    fn check(text: &str, registry: &str, expected: &[&str]) {
        let found = match parse(text, registry, Path::new("/etc/certs.d/x")) {
            Err(problem) => vec![format!("! {problem}")],
            Ok(hosts) => hosts
                .iter()
                .map(|host| {
                    let flag = |set, text| if set { text } else { "" };
                    format!(
                        "{}{}{}{}{}",
                        host.base,
                        flag(host.resolves, " resolve"),
                        flag(host.pulls, " pull"),
                        flag(host.mirror, " mirror"),
                        flag(host.connection.skip_verify, " skip_verify")
                    )
                })
                .collect(),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn hosts_keep_the_order_of_the_file_and_the_server_comes_last() {
        check(
            r#"
            server = "https://registry-1.docker.io"
            [host."https://z.example"]
            capabilities = ["pull"]
            [host."http://a.example:5000/proxy"]
            skip_verify = true
            [host."b.example/api/v2"]
            override_path = true
            [host."127.0.0.1:5000"]
            "#,
            "docker.io",
            &[
                "https://z.example/v2 pull mirror",
                "http://a.example:5000/proxy/v2 resolve pull mirror skip_verify",
                "https://b.example/api/v2 resolve pull mirror",
                "http://127.0.0.1:5000/v2 resolve pull mirror",
                "https://registry-1.docker.io/v2 resolve pull",
            ],
        );
    }

    #[test]
    fn without_a_server_the_registry_itself_comes_last() {
        check("", "x.example", &["https://x.example/v2 resolve pull"]);
        check("skip_verify = true", "x.example", &["https://x.example/v2 resolve pull skip_verify"]);
        check(
            "[host.\"https://m\"]",
            "localhost:5000",
            &[
                "https://m/v2 resolve pull mirror",
                "https://localhost:5000/v2 resolve pull",
                "http://localhost:5000/v2 resolve pull",
            ],
        );
    }

    #[test]
    fn certificates_and_headers_are_read() {
        let hosts = parse(
            r#"
            [host."https://m"]
            ca = ["ca.pem", "/abs/ca.pem"]
            client = [["c.crt", "c.key"], ["both.pem", ""], "one.pem"]
            dial_timeout = "5s"
            [host."https://m".header]
            x-one = "1"
            x-two = ["a", "b"]
            "#,
            "x.example",
            Path::new("/d"),
        )
        .unwrap();
        let host = &hosts[0];
        assert_eq!(host.connection.ca, [Path::new("/d/ca.pem"), Path::new("/abs/ca.pem")]);
        assert_eq!(host.connection.client.len(), 3);
        assert_eq!(host.connection.client[0].1.as_deref(), Some(Path::new("/d/c.key")));
        assert_eq!(host.connection.dial_timeout.unwrap().as_secs(), 5);
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(host.headers, [header("x-one", "1"), header("x-two", "a"), header("x-two", "b")]);
    }

    #[test]
    fn mistakes_are_named() {
        check("[host.\"ftp://m\"]", "x", &["! host.\"ftp://m\": scheme \"ftp\" is neither http nor https"]);
        check(
            "[host.\"https://m\"]\ncapabilities = [\"fly\"]",
            "x",
            &["! host.\"https://m\": capability \"fly\" is none of pull, resolve, push, referrers"],
        );
        check("skip_verify = \"yes\"", "x", &["! skip_verify is neither true nor false"]);
        let unknown = parse("tls = true", "x", Path::new("/")).unwrap_err();
        assert!(unknown.starts_with("unknown key \"tls\""), "{unknown}");
        assert!(parse("a = [", "x", Path::new("/")).unwrap_err().contains("line 1"));
    }
}
