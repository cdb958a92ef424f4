//! What administrators and the programs that write for them put into `hosts.toml`.

use std::path::Path;

use super::file;

const FILE: &str = r#"
server = "https://registry.example"
capabilities = ["pull", "resolve"]
[host."https://mirror.example:5000/v2/proxy"]
  capabilities = ["pull", "resolve", "push"]
  skip_verify = true
  override_path = true
  ca = ["a.pem", "/b.pem"]
  client = [["cert.pem", "key.pem"]]
  dial_timeout = "3s"
  [host."https://mirror.example:5000/v2/proxy".header]
    x-custom = ["a", "b"]
"#;

#[test]
fn hosts_file() {
    peapod_fuzz::target!("hosts")
        .seeds([FILE, "server = \"127.0.0.1:5000\"", "[host.\"http://[::1]:5000\"]"])
        .tokens(["[host.\"", "\"]", "[[", "{a={a=", "a.b.c.d = 1\n", "\"\"\"", "://", "= true\n", "\u{0}", "header = "])
        .check(|input| {
            let _ = file::parse(&String::from_utf8_lossy(input), "registry.example", Path::new("/nowhere"));
        });
}
