//! Headers that registries send, damaged in every way.

use super::challenge;

#[test]
fn authentication_challenge() {
    peapod_fuzz::target!("challenge")
        .seeds([
            "Basic realm=\"x\"",
            "Bearer realm=\"https://auth.example/token\",service=\"a\",scope=\"repository:a/b:pull\"",
        ])
        .seeds(["Negotiate, Basic realm=a, Bearer realm=\"a\\\"b\" , scope = c"])
        .tokens(["Bearer ", "realm=", "=\"", "\\", ",", ", ,", "\t"])
        .check(|input| {
            let text = String::from_utf8_lossy(input);
            assert!(challenge::parse(&text).len() <= text.len());
        });
}
