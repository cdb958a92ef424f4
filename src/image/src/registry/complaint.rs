//! What a registry or a token server says about why it refuses.

use crate::bounds::{ERROR_BODY_BYTES, ERROR_BODY_TIME, ERROR_TEXT};
use crate::lenient::{self, Field, Shape, Text};
use peapod_text::collapsed;
use reqwest::Response;
use serde::de::{IgnoredAny, MapAccess, SeqAccess};

/// The status, with code and message of the body where it has any. Never fails, and takes no longer than its bounds.
pub(super) async fn complaint(response: Response) -> String {
    let status = response.status();
    match reason(&body(response).await) {
        Some(reason) => format!("{status}: {reason}"),
        None => status.to_string(),
    }
}

async fn body(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    let read = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = ERROR_BODY_BYTES - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() >= room {
                break;
            }
        }
    };
    // What came until then is what there is.
    let _ = tokio::time::timeout(ERROR_BODY_TIME, read).await;
    body
}

/// What a body says: registries answer with a list of errors, token servers with one of several forms, proxies with
/// text.
fn reason(body: &[u8]) -> Option<String> {
    let said = match lenient::read::<ErrorBody>(body) {
        Ok(Field::Is(ErrorBody(said))) => said,
        // JSON of another form tells a reader nothing.
        Ok(_) => return None,
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    // A page for browsers neither.
    let said = collapsed(&said, ERROR_TEXT);
    (!said.is_empty() && !said.starts_with(['<', '{', '['])).then_some(said)
}

type Message = Text<ERROR_BODY_BYTES>;

/// Code and message of whatever form it has.
struct ErrorBody(String);

impl Shape for ErrorBody {
    const WHAT: &'static str = "an object";

    fn object<'de, A: MapAccess<'de>>(mut members: A) -> Result<Field<Self>, A::Error> {
        let (mut code, mut message) = (String::new(), String::new());
        let mut listed = Field::<First>::Absent;
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "errors" => listed = members.next_value()?,
                "code" | "error" => put(&mut code, members.next_value()?),
                "message" | "error_description" | "details" | "detail" => put(&mut message, members.next_value()?),
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Field::Is(match listed {
            Field::Is(First(said)) => Self(said),
            _ => Self(joined(&code, &message)),
        }))
    }

    fn text(text: &str) -> Field<Self> {
        Field::Is(Self(text.to_owned()))
    }
}

/// The first errors of a list.
struct First(String);

impl Shape for First {
    const WHAT: &'static str = "a list";

    fn list<'de, A: SeqAccess<'de>>(mut items: A) -> Result<Field<Self>, A::Error> {
        let mut said = String::new();
        while let Some(item) = items.next_element::<Field<ErrorBody>>()? {
            if let Field::Is(ErrorBody(one)) = item
                && said.len() < ERROR_TEXT
                && !one.is_empty()
            {
                said = if said.is_empty() { one } else { format!("{said}; {one}") };
            }
        }
        Ok(Field::Is(Self(said)))
    }
}

fn put(slot: &mut String, field: Field<Message>) {
    if let Field::Is(Text(text)) = field
        && slot.is_empty()
    {
        *slot = text;
    }
}

fn joined(code: &str, message: &str) -> String {
    match (code.is_empty(), message.is_empty()) {
        (false, false) => format!("{code}: {message}"),
        _ => format!("{code}{message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::reason;
    use crate::bounds::ERROR_TEXT;

    #[test]
    fn code_and_message_of_every_form() {
        let said = |body: &str| reason(body.as_bytes());
        for (body, wanted) in [
            (
                r#"{"errors":[{"code":"DENIED","message":"blocked by policy","detail":{"a":[1]}}]}"#,
                "DENIED: blocked by policy",
            ),
            (r#"{"errors":[{"code":"A"},5,null,{"message":"b"}]}"#, "A; b"),
            (r#"{"errors":["plain"]}"#, "plain"),
            (r#"{"error":"invalid_grant","error_description":"expired"}"#, "invalid_grant: expired"),
            (r#"{"details":"incorrect username or password"}"#, "incorrect username or password"),
            (r#"{"errors":null,"message":"m"}"#, "m"),
            ("\r\n slow down,\r\n please \u{1b}[1m", "slow down, please \\u{1b}[1m"),
        ] {
            assert_eq!(said(body).as_deref(), Some(wanted), "{body}");
        }
        for body in ["", "<html>x</html>", "[1]", "5", "{}", r#"{"errors":[]}"#, r#"{"errors":{"a":"#] {
            assert_eq!(said(body), None, "{body}");
        }
        let long = format!(r#"{{"errors":[{}]}}"#, vec![r#"{"code":"X","message":"y"}"#; 2000].join(","));
        assert!(said(&long).unwrap().chars().count() <= ERROR_TEXT + 1);
        assert!(reason(&[0xff; 9000]).unwrap().chars().count() <= ERROR_TEXT + 1);
    }
}
