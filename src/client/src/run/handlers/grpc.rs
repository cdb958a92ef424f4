//! The health service of gRPC: `grpc.health.v1.Health/Check`.

use hyper::http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::transport::Endpoint;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

/// What is asked: how a service is, or the whole server.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    pub(super) service: String,
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
}

/// A service that serves.
const SERVING: i32 = 1;

/// Asks, and says what is wrong if it does not serve.
pub(super) async fn check(host: &str, port: u16, service: &str) -> Result<String, String> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let endpoint = Endpoint::from_shared(format!("http://{host}:{port}")).map_err(|error| error.to_string())?;
    let broken = |error: tonic::transport::Error| format!("{host}:{port}: {}", peapod_text::innermost(&error));
    let endpoint = endpoint.user_agent("kube-probe/1.36").map_err(broken)?;
    let mut grpc = Grpc::new(endpoint.connect().await.map_err(broken)?);
    grpc.ready().await.map_err(broken)?;
    let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
    let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
    let request = Request::new(HealthCheckRequest { service: service.to_owned() });
    match grpc.unary(request, path, codec).await {
        Ok(answer) if answer.get_ref().status == SERVING => Ok(String::new()),
        Ok(_) => Err("it does not serve".to_owned()),
        Err(status) => Err(match status.code() {
            Code::Unimplemented => "it has no health service (grpc.health.v1.Health)".to_owned(),
            Code::NotFound => format!("it has no service `{service}`"),
            code => format!("{}: {}", code.description(), status.message()),
        }),
    }
}
