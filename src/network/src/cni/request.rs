//! What a request becomes for plugins.

use super::conflist::Object;
use crate::attachment::{AttachRequest, Bandwidth};
use serde_json::{Value, json};

/// The arguments as `CNI_ARGS`. A plugin that knows others shall not mind them.
pub(crate) fn args(request: &AttachRequest) -> String {
    let mut text = "IgnoreUnknown=1".to_owned();
    // These characters separate arguments and can't be written.
    for (key, value) in request.args.iter().filter(|(key, value)| !key.contains([';', '=']) && !value.contains(';')) {
        text.push_str(&format!(";{key}={value}"));
    }
    text
}

/// All capabilities that the request has something for.
pub(crate) fn capabilities(request: &AttachRequest) -> Object {
    let mut all = Object::new();
    if !request.ports.is_empty() {
        let ports = request.ports.iter().map(|port| {
            let ip = port.host_ip.map(|ip| ip.to_string()).unwrap_or_default();
            let protocol = port.protocol.to_string().to_ascii_lowercase();
            json!({"hostPort": port.host_port, "containerPort": port.container_port, "protocol": protocol, "hostIP": ip})
        });
        all.insert("portMappings".to_owned(), ports.collect());
    }
    if let Some(dns) = &request.dns {
        let dns = json!({"servers": dns.servers, "searches": dns.searches, "options": dns.options});
        all.insert("dns".to_owned(), dns);
    }
    if let Some(bandwidth) = bandwidth(&request.bandwidth) {
        all.insert("bandwidth".to_owned(), bandwidth);
    }
    if !request.ip_ranges.is_empty() {
        let set = request.ip_ranges.iter().map(|range| json!([{"subnet": range.to_string()}]));
        all.insert("ipRanges".to_owned(), set.collect());
    }
    if let Some(mac) = &request.mac {
        all.insert("mac".to_owned(), mac.clone().into());
    }
    all
}

fn bandwidth(wanted: &Bandwidth) -> Option<Value> {
    /// The plugin refuses a rate without a burst; its own limit is 32 bits of bytes.
    const BURST: u64 = (1 << 31) - 1;
    let mut value = Object::new();
    for (name, rate) in [("ingress", wanted.ingress), ("egress", wanted.egress)] {
        if let Some(rate) = rate {
            value.insert(format!("{name}Rate"), rate.into());
            value.insert(format!("{name}Burst"), BURST.into());
        }
    }
    (!value.is_empty()).then_some(Value::Object(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attachment::Dns;
    use crate::ports::{PortMapping, Protocol};
    use peapod_trace::Span;

    #[test]
    fn all_of_it() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let request = AttachRequest {
            namespace: None,
            span: Span::default(),
            id: "a".to_owned(),
            ports: vec![PortMapping { protocol: Protocol::Udp, container_port: 1, host_port: 2, host_ip: None }],
            args: vec![pair("K8S_POD_NAME", "web"), pair("BAD", "a;b=c")],
            dns: Some(Dns { servers: vec!["192.0.2.1".to_owned()], ..Dns::default() }),
            bandwidth: Bandwidth { ingress: Some(8000), egress: None },
            ip_ranges: vec!["10.1.0.0/24".parse().unwrap()],
            mac: Some("02:00:00:00:00:01".to_owned()),
        };
        assert_eq!(args(&request), "IgnoreUnknown=1;K8S_POD_NAME=web");
        let expected = json!({
            "portMappings": [{"hostPort": 2, "containerPort": 1, "protocol": "udp", "hostIP": ""}],
            "dns": {"servers": ["192.0.2.1"], "searches": [], "options": []},
            "bandwidth": {"ingressRate": 8000, "ingressBurst": 2_147_483_647},
            "ipRanges": [[{"subnet": "10.1.0.0/24"}]],
            "mac": "02:00:00:00:00:01",
        });
        assert_eq!(Value::Object(capabilities(&request)), expected);
        assert_eq!(capabilities(&AttachRequest::default()), Object::new());
    }
}
