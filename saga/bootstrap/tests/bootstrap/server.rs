use std::{net::SocketAddr, time::Duration};

use bootstrap::{Health, Server, Tasks, bind};
use proto::{
    FILE_DESCRIPTOR_SET,
    payment::{
        GetPaymentRequest, GetPaymentResponse, ListPaymentsRequest, ListPaymentsResponse,
        SummarizePaymentsRequest, SummarizePaymentsResponse,
        payment_service_client::PaymentServiceClient,
        payment_service_server::{PaymentService, PaymentServiceServer},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// Answers as its requests say: at once, late, never well.
#[derive(Debug)]
struct Payments;

#[tonic::async_trait]
impl PaymentService for Payments {
    async fn get_payment(
        &self,
        request: Request<GetPaymentRequest>,
    ) -> Result<Response<GetPaymentResponse>, Status> {
        match request.into_inner().order_id.as_str() {
            "slow" => tokio::time::sleep(Duration::from_millis(500)).await,
            "never" => std::future::pending().await,
            "panic" => panic!("as asked"),
            _ => {}
        }
        Ok(Response::new(GetPaymentResponse::default()))
    }

    async fn list_payments(
        &self,
        _: Request<ListPaymentsRequest>,
    ) -> Result<Response<ListPaymentsResponse>, Status> {
        Ok(Response::new(ListPaymentsResponse::default()))
    }

    async fn summarize_payments(
        &self,
        _: Request<SummarizePaymentsRequest>,
    ) -> Result<Response<SummarizePaymentsResponse>, Status> {
        Ok(Response::new(SummarizePaymentsResponse::default()))
    }
}

struct Running {
    address: SocketAddr,
    health: Health,
    shutdown: CancellationToken,
    serving: JoinHandle<anyhow::Result<()>>,
    channel: Channel,
}

impl Running {
    async fn start() -> Self {
        Self::start_as(|server| server).await
    }

    async fn start_as(set: impl FnOnce(Server) -> Server) -> Self {
        let server = Server::new("payment-service", FILE_DESCRIPTOR_SET)
            .add(PaymentServiceServer::new(Payments));
        let server = set(server);
        let health = server.health();
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(server.serve_on(listener, shutdown.clone()));
        let channel =
            Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Self { address, health, shutdown, serving, channel }
    }

    async fn get_payment(&self, order_id: &str, deadline: Option<Duration>) -> Result<(), Status> {
        let mut request = Request::new(GetPaymentRequest { order_id: order_id.to_owned() });
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        PaymentServiceClient::new(self.channel.clone()).get_payment(request).await.map(|_| ())
    }

    async fn health_of(&self, service: &str) -> Result<ServingStatus, Code> {
        let request = HealthCheckRequest { service: service.to_owned() };
        let checked = HealthClient::new(self.channel.clone()).check(request).await;
        checked.map(|response| response.into_inner().status()).map_err(|status| status.code())
    }

    async fn http(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    }
}

const PAYMENT_SERVICE: &str = "shop.payment.v1.PaymentService";
const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn one_port_answers_grpc_and_plain_http() {
    let running = Running::start().await;

    running.get_payment("any", None).await.unwrap();

    assert!(running.http("/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(running.http("/metrics").await.contains("content-type: text/plain"));
    let elsewhere = running.http("/").await;
    assert!(elsewhere.starts_with("HTTP/1.1 404"), "{elsewhere}");
    assert!(elsewhere.contains("/healthz"), "{elsewhere}");
}

#[tokio::test]
async fn a_method_that_is_not_served_is_unimplemented() {
    let running = Running::start().await;
    let mut saga = proto::saga::saga_service_client::SagaServiceClient::new(running.channel);
    let status = saga.get_saga(proto::saga::GetSagaRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("/saga.v1.SagaService/GetSaga"), "{status}");
}

#[tokio::test]
async fn health_is_reported_by_service_and_can_be_flipped() {
    let running = Running::start_as(Server::not_ready_yet).await;
    assert_eq!(running.health_of(PAYMENT_SERVICE).await, Ok(ServingStatus::NotServing));
    assert_eq!(running.health_of("").await, Ok(ServingStatus::NotServing));
    assert_eq!(running.health_of("unknown").await, Err(Code::NotFound));
    assert!(running.http("/healthz").await.starts_with("HTTP/1.1 503"));

    running.health.serving().await;
    assert_eq!(running.health_of(PAYMENT_SERVICE).await, Ok(ServingStatus::Serving));
    assert_eq!(running.health_of("").await, Ok(ServingStatus::Serving));
    assert!(running.http("/healthz").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn reflection_lists_what_is_served_in_both_versions() {
    let running = Running::start().await;
    let served = |version: &str| {
        let reflection = format!("grpc.reflection.{version}.ServerReflection");
        vec!["grpc.health.v1.Health".to_owned(), reflection, PAYMENT_SERVICE.to_owned()]
    };
    assert_eq!(v1::services(running.channel.clone()).await, served("v1"));
    assert_eq!(v1alpha::services(running.channel.clone()).await, served("v1alpha"));
}

#[tokio::test]
async fn reflection_knows_what_errors_carry() {
    let running = Running::start().await;
    for message in ["BadRequest", "ErrorInfo", "PreconditionFailure", "ResourceInfo", "RetryInfo"] {
        let symbol = format!("google.rpc.{message}");
        assert!(v1::knows(running.channel.clone(), &symbol).await, "{symbol}");
        assert!(v1alpha::knows(running.channel.clone(), &symbol).await, "{symbol}");
    }
    assert!(!v1::knows(running.channel.clone(), "google.rpc.Unknown").await);
}

/// The two versions differ in nothing but their package.
macro_rules! asking {
    ($version:ident) => {
        mod $version {
            use tonic::{Code, transport::Channel};
            use tonic_reflection::pb::$version::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest,
                server_reflection_response::MessageResponse,
            };

            async fn ask(channel: Channel, asked: MessageRequest) -> Result<MessageResponse, Code> {
                let request =
                    ServerReflectionRequest { host: String::new(), message_request: Some(asked) };
                let mut responses = ServerReflectionClient::new(channel)
                    .server_reflection_info(tokio_stream::once(request))
                    .await
                    .unwrap()
                    .into_inner();
                let response = responses.message().await.map_err(|status| status.code())?;
                Ok(response.unwrap().message_response.unwrap())
            }

            pub(crate) async fn knows(channel: Channel, symbol: &str) -> bool {
                match ask(channel, MessageRequest::FileContainingSymbol(symbol.to_owned())).await {
                    Ok(MessageResponse::FileDescriptorResponse(_)) => true,
                    Err(Code::NotFound) => false,
                    other => panic!("neither known nor unknown: {other:?}"),
                }
            }

            pub(crate) async fn services(channel: Channel) -> Vec<String> {
                match ask(channel, MessageRequest::ListServices(String::new())).await {
                    Ok(MessageResponse::ListServicesResponse(list)) => {
                        let mut names: Vec<_> =
                            list.service.into_iter().map(|service| service.name).collect();
                        names.sort();
                        names
                    }
                    other => panic!("not a list: {other:?}"),
                }
            }
        }
    };
}
asking!(v1);
asking!(v1alpha);

#[tokio::test]
async fn who_cannot_work_for_a_while_does_not_serve_meanwhile() {
    let running = Running::start_as(Server::not_ready_yet).await;
    let (ready, readiness) = watch::channel(false);
    let health = running.health.clone();
    let following = tokio::spawn(health.serving_while(readiness, CancellationToken::new()));
    let reached = async |wanted: bool| {
        while running.health.is_serving() != wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    for wanted in [true, false, true] {
        ready.send_replace(wanted);
        timeout(Duration::from_secs(60), reached(wanted)).await.unwrap();
    }
    following.abort();
}

#[tokio::test]
async fn what_stops_before_it_is_ready_never_serves() {
    let running = Running::start_as(Server::not_ready_yet).await;
    let stopped = CancellationToken::new();
    stopped.cancel();
    let health = running.health.clone();
    health.serving_while(watch::channel(true).1, stopped).await.unwrap();
    assert!(!running.health.is_serving());
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_connection_lives() {
    let running = Running::start().await;
    let status = running.get_payment("panic", None).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(!status.message().contains("as asked"));
    running.get_payment("any", None).await.unwrap();
}

#[tokio::test]
async fn the_callers_deadline_is_kept() {
    let running = Running::start().await;
    // The server answers a little before the deadline, at which tonic's client gives up by itself and
    // says `Cancelled`: on a machine that stumbles the client may be first, but not every time.
    let mut codes = Vec::new();
    while codes.last() != Some(&Code::DeadlineExceeded) {
        let mut request = Request::new(GetPaymentRequest { order_id: "slow".to_owned() });
        request.metadata_mut().insert("grpc-timeout", "50m".parse().unwrap());
        let answer = PaymentServiceClient::new(running.channel.clone()).get_payment(request).await;
        codes.push(answer.unwrap_err().code());
        assert!(codes.len() < 20, "{codes:?}");
    }

    running.get_payment("slow", Some(LONG)).await.unwrap();
}

#[tokio::test]
async fn a_stream_ends_at_the_callers_deadline() {
    let running = Running::start().await;
    let mut request = Request::new(HealthCheckRequest { service: PAYMENT_SERVICE.to_owned() });
    request.metadata_mut().insert("grpc-timeout", "1S".parse().unwrap());
    let mut watch =
        HealthClient::new(running.channel.clone()).watch(request).await.unwrap().into_inner();
    watch.message().await.unwrap().unwrap();
    assert_eq!(watch.message().await.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn stopping_lets_requests_end_and_ends_streams() {
    let running = Running::start_as(|server| server.shutdown_deadline(LONG)).await;
    let request = HealthCheckRequest { service: PAYMENT_SERVICE.to_owned() };
    let mut watch =
        HealthClient::new(running.channel.clone()).watch(request).await.unwrap().into_inner();
    let status = watch.message().await.unwrap().unwrap().status();
    assert_eq!(status, ServingStatus::Serving);

    let stop = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        running.shutdown.cancel();
    };
    let (answer, ()) = tokio::join!(running.get_payment("slow", None), stop);
    answer.unwrap();

    let status = watch.message().await.unwrap().unwrap().status();
    assert_eq!(status, ServingStatus::NotServing);
    assert_eq!(watch.message().await.unwrap_err().code(), Code::Unavailable);
    timeout(Duration::from_secs(5), running.serving).await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let deadline = Duration::from_millis(50);
    let running = Running::start_as(|server| server.shutdown_deadline(deadline)).await;
    let stop = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        running.shutdown.cancel();
        timeout(LONG, running.serving).await.unwrap().unwrap().unwrap();
    };
    let request = GetPaymentRequest { order_id: "never".to_owned() };
    let mut client = PaymentServiceClient::new(running.channel.clone());
    let (_, ()) = tokio::join!(client.get_payment(request), stop);
}

#[tokio::test]
async fn a_request_that_does_not_end_is_dropped_before_the_process_is_late() {
    let deadline = Duration::from_secs(3);
    let Running { shutdown, serving, channel, .. } =
        Running::start_as(|server| server.shutdown_deadline(deadline)).await;
    let get_payment = async |order_id: &str| {
        let request = GetPaymentRequest { order_id: order_id.to_owned() };
        PaymentServiceClient::new(channel.clone()).get_payment(request).await
    };
    let stop = async {
        // The other one is under way before what comes after it on its connection is answered.
        get_payment("any").await.unwrap();
        shutdown.cancel();
        let serving = async { serving.await.unwrap() };
        Tasks::new(shutdown, deadline).run("api", serving).until_stopped().await
    };
    tokio::select! {
        biased;
        answer = get_payment("never") => panic!("it ended: {answer:?}"),
        stopped = stop => stopped.unwrap(),
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let taken = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = format!("{:#}", bind(address).await.unwrap_err());
    assert!(error.contains(&address.to_string()), "{error}");
    assert!(error.contains("in use"), "{error}");
}
