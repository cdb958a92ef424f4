//! PortForward: promises a client connections to ports of a ready pod.

use peapod_api::v1::{PortForwardRequest, PortForwardResponse};
use peapod_streaming_protocol::FORWARDED_PORTS;

use crate::cri::Services;
use crate::cri::convert::{FieldError, not_empty};
use crate::cri::services::find_pod;
use crate::cri::status::Answer;
use crate::streaming::PendingSession;

pub(super) async fn handle(services: &Services, request: PortForwardRequest) -> Answer<PortForwardResponse> {
    let id = not_empty("pod_sandbox_id", request.pod_sandbox_id)?;
    let ports = ports(&request.port)?;
    let pod = find_pod(&services.pods.snapshot(), &id)?.pod.id.clone();
    services.pods.check_port_forward(&pod).await?;
    let promised = PendingSession::PortForward { pod, ports };
    Ok(PortForwardResponse { url: services.streaming.register(&services.config, promised).await? })
}

fn ports(ports: &[i32]) -> Result<Vec<u16>, FieldError> {
    if ports.len() > FORWARDED_PORTS {
        return Err(FieldError::new("port", format!("has {} entries, {FORWARDED_PORTS} are the most", ports.len())));
    }
    let port = |port: &i32| match u16::try_from(*port) {
        Ok(port @ 1..) => Ok(port),
        _ => Err(FieldError::new("port", format!("{port} is none: 1 to 65535 are"))),
    };
    ports.iter().map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_checked() {
        assert_eq!(ports(&[]), Ok(Vec::new()));
        assert_eq!(ports(&[1, 65535]), Ok(vec![1, 65535]));
        for bad in [0, -1, 65536] {
            assert!(ports(&[80, bad]).unwrap_err().to_string().contains(&bad.to_string()));
        }
        assert!(ports(&vec![80; FORWARDED_PORTS + 1]).is_err());
    }
}
