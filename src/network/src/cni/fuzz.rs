//! What plugins print and what their configurations hold, damaged in every way.

use serde_json::Value;

use super::conflist::Conflist;
use super::result;
use crate::attachment::Attachment;

fn attachment() -> Attachment {
    Attachment {
        id: "a".to_owned(),
        netns: "/nowhere".into(),
        ips: Vec::new(),
        gateways: Vec::new(),
        interface: String::new(),
        mac: String::new(),
        mtu: 0,
        host_interface: String::new(),
        ports: Vec::new(),
    }
}

const RESULT: &str = r#"{"cniVersion":"1.1.0","interfaces":[{"name":"veth1","mac":"aa:bb:cc:dd:ee:ff"},
{"name":"eth0","mac":"aa:bb:cc:dd:ee:f0","mtu":1500,"sandbox":"/run/netns/x"}],"ips":[{"address":"10.1.0.5/16","gateway":"10.1.0.1",
"interface":1},{"address":"fd00::5/64","interface":1}],"routes":[{"dst":"0.0.0.0/0"}],"dns":{}}"#;
const CONFLIST: &str = r#"{"cniVersion":"1.0.0","cniVersions":["0.4.0","1.1.0"],"name":"net","disableCheck":"true","plugins":[
{"type":"bridge","bridge":"b0","ipam":{"type":"host-local","ranges":[[{"subnet":"10.1.0.0/16"}]]}},
{"type":"portmap","capabilities":{"portMappings":true}}]}"#;
const TOKENS: &[&str] =
    &["null", "[[[[", "{\"a\":", "\"ips\":[", "..", "/", "\\u0000", "1e400", "-1", "\"interface\":9", ":", ","];

#[test]
fn plugin_result() {
    peapod_fuzz::target!("cni-result").seeds([RESULT, "{}"]).tokens(TOKENS).check(|input| {
        let Ok(value) = serde_json::from_slice::<Value>(input) else { return };
        let _ = result::read(&value, &mut attachment());
    });
}

#[test]
fn configuration_list() {
    peapod_fuzz::target!("conflist").seeds([CONFLIST]).tokens(TOKENS).check(|input| {
        let Ok(list) = Conflist::parse(input) else { return };
        assert!(!list.plugins.is_empty());
        for plugin in &list.plugins {
            let _ = list.input(plugin, &serde_json::Map::new(), None);
        }
    });
}
