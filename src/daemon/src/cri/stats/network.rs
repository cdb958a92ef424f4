//! Traffic of a pod, as one of its processes sees it: no namespace has to be entered for that.

use peapod_api::v1;

/// The interface that every pod has.
const DEFAULT_INTERFACE: &str = "eth0";

/// Reads the interfaces of a process; `None` when it is gone.
pub(super) fn usage(pid: u32, timestamp: i64) -> Option<v1::NetworkUsage> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?;
    let mut default_interface = None;
    let mut interfaces = Vec::new();
    for usage in parse(&text) {
        match usage.name.as_str() {
            DEFAULT_INTERFACE => default_interface = Some(usage),
            "lo" => {}
            _ => interfaces.push(usage),
        }
    }
    Some(v1::NetworkUsage { timestamp, default_interface, interfaces })
}

/// Lines of proc_net_dev(5) below the two of its head.
fn parse(text: &str) -> impl Iterator<Item = v1::NetworkInterfaceUsage> {
    text.lines().skip(2).filter_map(|line| {
        let (name, counters) = line.split_once(':')?;
        let counters: Vec<u64> = counters.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect();
        let at = |index: usize| counters.get(index).map(|&value| v1::UInt64Value { value });
        Some(v1::NetworkInterfaceUsage {
            name: name.trim().to_owned(),
            rx_bytes: at(0),
            rx_errors: at(2),
            tx_bytes: at(8),
            tx_errors: at(10),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn counters_stand_in_fixed_columns() {
        let text = "Inter-|   Receive                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes\n\
                    \x20   lo:     1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n  eth0: 100 1 2 0 0 0 0 0 200 1 3 0 0 0 0 0\n";
        let all: Vec<_> = parse(text).collect();
        assert_eq!(all.len(), 2);
        let eth0 = all.last().unwrap();
        assert_eq!(eth0.name, "eth0");
        let value = |counter: &Option<peapod_api::v1::UInt64Value>| counter.as_ref().unwrap().value;
        assert_eq!(
            [value(&eth0.rx_bytes), value(&eth0.rx_errors), value(&eth0.tx_bytes), value(&eth0.tx_errors)],
            [100, 2, 200, 3]
        );
    }
}
