//! From a ready configuration to a daemon that answers, and to its end.

use std::convert::Infallible;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use peapod_api::own::image_store_server::ImageStoreServer;
use peapod_api::v1::image_service_server::ImageServiceServer;
use peapod_api::v1::runtime_service_server::RuntimeServiceServer;
use peapod_cgroup::Hierarchy;
use peapod_image::Images;
use peapod_network::Network;
use peapod_nri::Plugins;
use peapod_pod::{Dependencies, Pods};
use peapod_store::{Database, DatabaseMeasures, Durability, Migration, SetAside};
use peapod_sys::{NotRemoved, Trash};
use peapod_trace::Tracer;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use tonic::service::Routes;

use crate::bounds::{LAST_EXPORT, STREAMED_MESSAGE};
use crate::config::Config;
use crate::cri::{ImageCalls, ImageStoreCalls, NodeParts, RuntimeCalls, Services};
use crate::grpc::{self, ConnectionLimits, GrpcMeasures};
use crate::memory;
use crate::nri;
use crate::prometheus::{self, MetricSources};
use crate::reload::Reload;
use crate::runtime_dir::{self, PREDECESSOR};
use crate::service_manager;
use crate::spans::{self, SpanMeasures};
use crate::stats;

/// Serves until somebody asks for the end.
pub(crate) async fn serve(config: Config, reload: Reload) -> anyhow::Result<()> {
    // Before anything else, so that an early one is not lost.
    let end = end_requested()?;
    let asked = signal(SignalKind::hangup()).context("SIGHUP can't be caught")?;
    let _state = runtime_dir::lock_state(&config.state_root, PREDECESSOR)?;
    // Not before: it is the file of the daemon that has the state, if there is one.
    reload.logging.write_to(reload.args.log_file.as_deref())?;
    let _run = runtime_dir::prepare_run_root(&config.run_root, PREDECESSOR)?;
    let socket = runtime_dir::bind(&config.grpc.socket, config.grpc.mode, PREDECESSOR)?;

    // All records are loaded before clients find the socket: a list that lacks something makes the kubelet believe that
    // it is gone.
    let (services, databases) = open(config, end.clone()).await?;
    let (services, grpc) = (Arc::new(services), GrpcMeasures::default());
    let measured = SpanMeasures::default();
    let sources =
        MetricSources { services: Arc::clone(&services), grpc: grpc.clone(), spans: measured.clone(), databases };
    // Before clients come: what they ask for waits until these have been started.
    let installed = services.pods.plugins().installed();
    let listener = UnixListener::from_std(socket.publish()?).context("the socket can't be used")?;
    let config = &services.config;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        socket = %config.grpc.socket.display(),
        state_root = %config.state_root.display(),
        run_root = %config.run_root.display(),
        runtime = config.pods.default_runtime,
        pods = services.pods.snapshot().pods().count(),
        images = services.images.list().len(),
        "serving"
    );
    service_manager::ready();
    let (stop, stopped) = oneshot::channel();
    let mut spans = pin!(spans::run(&config.tracing, services.tracer.subscribe(), measured, stopped));
    let mut plugins = pin!(nri::run(&config.nri, services.pods.plugins(), installed));
    tokio::select! {
        () = answer_calls(&services, listener, grpc, end) => {}
        // They end when they are told to, which is below.
        () = &mut spans => {}
        never = prometheus::run(config.metrics.address.as_ref(), Arc::new(sources)) => match never {},
        never = reload.run(&services, asked) => match never {},
        never = service_manager::stay_alive() => match never {},
        never = stats::run(&services.pods, &services.stats) => match never {},
        never = services.streaming.run(config, &services.pods) => match never {},
        never = &mut plugins => match never {},
        never = memory::give_back() => match never {},
        never = import_folder(&services.images) => match never {},
    }
    // An error would mean that it has ended already.
    let _ = stop.send(());
    let last_spans = timeout(LAST_EXPORT, spans);
    tokio::select! {
        _ = async { tokio::join!(close(&services), last_spans) } => {}
        // They hear of the end on connections that last until then.
        never = plugins => match never {},
    }
    Ok(())
}

/// How long a plugin may take to hear that the daemon ends.
const FAREWELL: Duration = Duration::from_millis(50);

/// What each database counts, by its name.
type DatabasesMeasured = [(&'static str, DatabaseMeasures); 2];

/// Opens the services, those first that others are made from.
async fn open(config: Config, end: watch::Receiver<bool>) -> anyhow::Result<(Services, DatabasesMeasured)> {
    // Fails only if something in this process chose one before, and then there is one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cgroups = Hierarchy::detect(&config.pods.cgroup_root).context("cgroups can't be used")?;
    let mut set_aside = Vec::new();
    let state = database(&config, &STATE, &mut set_aside)?;
    let images = database(&config, &IMAGES, &mut set_aside)?;
    let measured = [("state", state.measures().clone()), ("image", images.measures().clone())];
    let boot_id = std::fs::read_to_string(&config.pods.boot_id_file);
    let boot_id =
        boot_id.with_context(|| format!("can't read this boot's id from {}", config.pods.boot_id_file.display()))?;
    let of_images = peapod_image::Config { boot_id: boot_id.trim().to_owned(), ..config.images.clone() };
    let trash = trash(&config.state_root.join("trash"))?;
    let images = Images::open(of_images, images, trash.clone()).await?;
    let network = Network::open(config.network.clone(), state.clone()).await?;
    let tracer = Tracer::new();
    let dependencies = Dependencies {
        db: state,
        images: images.clone(),
        network: network.clone(),
        trash,
        tracer: tracer.clone(),
        plugins: Plugins::new(nri::settings(&config.nri)),
    };
    let pods = Pods::open(config.pods.clone(), dependencies).await?;
    let opened = NodeParts { pods, images, network, tracer };
    Ok((Services::new(config, opened, cgroups, set_aside, end), measured))
}

/// Where trees of files go that nobody needs: layers, and what containers wrote.
fn trash(folder: &Path) -> anyhow::Result<Trash> {
    let failed = |path: &Path, error: &NotRemoved| {
        tracing::warn!(path = %path.display(), %error, "what nobody needs can't be removed; it is tried again at the next start");
    };
    Trash::open(folder.to_owned(), failed).with_context(|| format!("{} can't be used", folder.display()))
}

/// A database of the daemon.
struct DatabaseFile {
    file: &'static str,
    /// "pe" and a letter and number of its own, for SQLite's header.
    id: i32,
    durability: Durability,
    schemas: &'static [&'static [Migration]],
}

const STATE: DatabaseFile = DatabaseFile {
    file: "state.db",
    id: 0x7065_7301,
    durability: Durability::Normal,
    schemas: &[peapod_pod::MIGRATIONS, peapod_network::MIGRATIONS],
};

const IMAGES: DatabaseFile = DatabaseFile {
    file: "image.db",
    id: 0x7065_6901,
    durability: Durability::Full,
    schemas: &[peapod_image::MIGRATIONS],
};

/// Opens a database, an empty one if what is there can't be read. Adds what was set aside of it, now or earlier.
fn database(config: &Config, records: &DatabaseFile, set_aside: &mut Vec<SetAside>) -> anyhow::Result<Database> {
    let path = config.state_root.join(records.file);
    let migrations: Vec<Migration> = records.schemas.iter().copied().flatten().copied().collect();
    let (database, now) = Database::open_or_begin(&path, records.id, records.durability, &migrations)?;
    let earlier = peapod_store::kept(&path).unwrap_or_default().into_iter();
    let earlier = earlier.filter(|kept| now.as_ref().is_none_or(|now| now.kept != *kept));
    let reason = "at an earlier start, whose log says why";
    set_aside.extend(earlier.map(|kept| SetAside { path: path.clone(), kept, reason: reason.to_owned() }));
    set_aside.extend(now);
    Ok(database)
}

/// Answers until the end is requested, then gives the calls that are going on a moment. What they started goes on by
/// itself: a call only waits.
async fn answer_calls(
    services: &Arc<Services>,
    listener: UnixListener,
    measures: GrpcMeasures,
    end: watch::Receiver<bool>,
) {
    let limit = services.config.grpc.max_message_bytes;
    let runtime = RuntimeServiceServer::new(RuntimeCalls(services.clone()))
        .max_decoding_message_size(limit)
        .max_encoding_message_size(limit);
    let image = ImageServiceServer::new(ImageCalls(services.clone()))
        .max_decoding_message_size(limit)
        .max_encoding_message_size(limit);
    let store = ImageStoreServer::new(ImageStoreCalls(services.clone()))
        .max_decoding_message_size(STREAMED_MESSAGE)
        .max_encoding_message_size(limit);
    let grpc = &services.config.grpc;
    let limits = ConnectionLimits {
        connections: grpc.max_connections,
        idle: grpc.idle_timeout,
        transfer: grpc.transfer_timeout,
    };
    let routes = Routes::new(runtime).add_service(image).add_service(store).prepare();
    let server = grpc::serve(listener, routes, limits, measures, end.clone());
    // The rest of the time is for letting go of the pods.
    let drain_timeout = services.config.timeouts.shutdown * 3 / 4;
    let too_long = async {
        requested(end).await;
        tokio::time::sleep(drain_timeout).await;
    };
    tokio::select! {
        () = server => {}
        () = too_long => tracing::info!("calls are still waiting: their clients will ask again"),
    }
}

/// Imports what is in the import folder. Nobody waits for it: images appear as they come.
async fn import_folder(images: &Images) -> Infallible {
    images.import_folder().await;
    std::future::pending().await
}

/// Lets go of the pods, which run on.
async fn close(services: &Services) {
    let let_go = async {
        services.pods.plugins().close(FAREWELL).await;
        services.pods.close().await;
        // An attachment that is being made or undone comes to an end in order.
        services.network.close().await;
        if let Err(error) = services.images.close().await {
            tracing::warn!(%error, "that this is the end in order could not be recorded");
        }
    };
    if timeout(services.config.timeouts.shutdown / 4, let_go).await.is_err() {
        tracing::warn!("pods were not let go of in time; the next start finds them all the same");
    }
    tracing::info!("ended");
}

/// Turns SIGTERM and SIGINT into a flag that many can wait for.
fn end_requested() -> anyhow::Result<watch::Receiver<bool>> {
    let mut term = signal(SignalKind::terminate()).context("SIGTERM can't be caught")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT can't be caught")?;
    let (request, requested) = watch::channel(false);
    // Ends with the process: it waits for nothing but signals.
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = term.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "ending");
        service_manager::stopping();
        request.send_replace(true);
    });
    Ok(requested)
}

/// Waits until the end is requested.
async fn requested(mut end: watch::Receiver<bool>) {
    // An error means that nobody can ask any more: that is no request.
    if end.wait_for(|end| *end).await.is_err() {
        std::future::pending::<()>().await;
    }
}
