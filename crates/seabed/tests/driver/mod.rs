//! A cluster with drivers of several nodes on this machine, and calls as an orchestrator makes
//! them.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use seabed_proto::csi::controller_client::ControllerClient;
use seabed_proto::csi::node_client::NodeClient;
use seabed_proto::csi::volume_capability::access_mode::Mode;
use seabed_proto::csi::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
use seabed_proto::csi::*;
use tempfile::TempDir;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

const SEABED: &str = env!("CARGO_BIN_EXE_seabed");
/// Set where a test runs in a mount namespace of its own.
const INSIDE: &str = "SEABED_CSI_INSIDE";
/// For what should take a moment, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a test in a mount namespace of its own.
pub(crate) fn alone(test: &str, body: impl AsyncFnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(body());
    }
    assert!(rustix::process::geteuid().is_root(), "volumes are mounted: run the tests as root");
    let status = Command::new("timeout")
        .args(["-k", "10", "600", "unshare", "--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{test}, in its namespace: {status}");
}

/// A cluster; wiped at the end.
pub(crate) struct Cluster {
    root: TempDir,
}

impl Cluster {
    pub(crate) fn up(port: u16) -> Self {
        let cluster = Cluster { root: tempfile::tempdir().unwrap() };
        let (dir, port) = (cluster.path("c"), port.to_string());
        let size = ["--osd-size", "4G", "--sparse", "--pg-num", "8"];
        let dir = dir.to_str().unwrap();
        let up = ["dev", "up", "--dir", dir, "--base-port", &port];
        seabed(&[&up[..], &size[..]].concat());
        cluster
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn conf(&self) -> PathBuf {
        self.path("c").join("ceph.conf")
    }

    /// Images of the pool.
    pub(crate) fn images(&self) -> Vec<String> {
        let listed = self.volume(&["ls", "rbd"]);
        listed.lines().map(str::to_owned).collect()
    }

    /// `seabed volume …`
    pub(crate) fn volume(&self, words: &[&str]) -> String {
        let conf = self.conf();
        seabed(&[&["volume", "-c", conf.to_str().unwrap()], words].concat())
    }

    /// A driver with all services, of a node.
    pub(crate) async fn driver(&self, node: &str) -> Driver {
        let (socket, log) = (self.path(&format!("{node}.sock")), self.path(&format!("{node}.log")));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(SEABED)
            .args(["csi", "all", "--attach", "fuse-loop", "--node-id", node])
            .args(["--endpoint", &format!("unix://{}", socket.display())])
            .arg("--conf")
            .arg(self.conf())
            .arg("--state-dir")
            .arg(self.path(&format!("{node}.state")))
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        let mut driver = Driver {
            child,
            log,
            node_id: node.to_owned(),
            folder: self.path(&format!("{node}.pods")),
            channel: None,
        };
        let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display())).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while driver.channel.is_none() {
            driver.channel = endpoint.connect().await.ok();
            assert!(Instant::now() < deadline, "no driver:\n{}", driver.said());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        driver.info().await;
        driver
    }
}

/// The owners of devices that were started for these tests: they outlive their driver.
fn owners(root: &Path) -> Vec<Pid> {
    let ours = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("attachd") && line.contains(root.to_str().unwrap())
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(ours).filter_map(Pid::from_raw).collect()
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let dir = self.path("c");
        for pid in owners(self.root.path()) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        // Loop devices outlive the namespace.
        for entry in std::fs::read_dir(self.root.path()).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "state")
                && let Ok(state) = seabed_attach::StateFolder::open(&entry.path())
            {
                let _ = seabed_attach::fuse_loop::heal_dead(&state);
            }
        }
        let _ = Command::new(SEABED).args(["dev", "wipe", "--dir"]).arg(dir).output();
    }
}

fn seabed(words: &[&str]) -> String {
    let output = Command::new(SEABED).args(words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "seabed {words:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A driver of a node, and what a sidecar or kubelet asks of it.
pub(crate) struct Driver {
    child: Child,
    log: PathBuf,
    pub node_id: String,
    folder: PathBuf,
    channel: Option<Channel>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.said());
        }
    }
}

/// A file system of the default kind, or a raw device.
pub(crate) fn capability(block: bool, mode: Mode) -> VolumeCapability {
    let access_type = match block {
        true => AccessType::Block(BlockVolume {}),
        false => AccessType::Mount(MountVolume::default()),
    };
    VolumeCapability {
        access_type: Some(access_type),
        access_mode: Some(AccessMode { mode: mode.into() }),
    }
}

impl Driver {
    pub(crate) fn controller(&self) -> ControllerClient<Channel> {
        ControllerClient::new(self.channel.clone().unwrap())
    }

    pub(crate) fn node(&self) -> NodeClient<Channel> {
        NodeClient::new(self.channel.clone().unwrap())
    }

    fn said(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        format!("(driver {}) {text}", self.node_id)
    }

    pub(crate) async fn info(&self) -> NodeGetInfoResponse {
        self.node().node_get_info(NodeGetInfoRequest {}).await.unwrap().into_inner()
    }

    pub(crate) fn staging(&self, volume: &str) -> PathBuf {
        self.folder.join("staging").join(volume.replace('/', "_"))
    }

    pub(crate) fn target(&self, volume: &str) -> PathBuf {
        self.folder.join("target").join(volume.replace('/', "_"))
    }

    pub(crate) async fn create(
        &self,
        name: &str,
        source: Option<volume_content_source::Type>,
        parameters: &[(&str, &str)],
    ) -> Result<Volume, Status> {
        let parameters = parameters.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let request = CreateVolumeRequest {
            name: name.to_owned(),
            capacity_range: Some(CapacityRange { required_bytes: 64 << 20, limit_bytes: 0 }),
            volume_capabilities: vec![capability(false, Mode::SingleNodeWriter)],
            parameters: parameters.collect(),
            volume_content_source: source.map(|kind| VolumeContentSource { r#type: Some(kind) }),
            ..CreateVolumeRequest::default()
        };
        let answer = self.controller().create_volume(request).await?.into_inner();
        Ok(answer.volume.unwrap())
    }

    pub(crate) async fn delete(&self, volume_id: &str) -> Result<(), Status> {
        let request = DeleteVolumeRequest { volume_id: volume_id.to_owned(), ..Default::default() };
        self.controller().delete_volume(request).await.map(drop)
    }

    pub(crate) async fn snapshot(&self, name: &str, volume: &str) -> Result<Snapshot, Status> {
        let request = CreateSnapshotRequest {
            source_volume_id: volume.to_owned(),
            name: name.to_owned(),
            ..Default::default()
        };
        let answer = self.controller().create_snapshot(request).await?.into_inner();
        Ok(answer.snapshot.unwrap())
    }

    pub(crate) async fn delete_snapshot(&self, snapshot_id: &str) -> Result<(), Status> {
        let request =
            DeleteSnapshotRequest { snapshot_id: snapshot_id.to_owned(), ..Default::default() };
        self.controller().delete_snapshot(request).await.map(drop)
    }

    /// A volume, with nodes that it is published to and its condition.
    pub(crate) async fn get(
        &self,
        volume_id: &str,
    ) -> Result<controller_get_volume_response::VolumeStatus, Status> {
        let request = ControllerGetVolumeRequest { volume_id: volume_id.to_owned() };
        let answer = self.controller().controller_get_volume(request).await?.into_inner();
        Ok(answer.status.unwrap())
    }

    pub(crate) async fn publish(
        &self,
        volume_id: &str,
        node_id: &str,
        capability: &VolumeCapability,
    ) -> Result<BTreeMap<String, String>, Status> {
        let request = ControllerPublishVolumeRequest {
            volume_id: volume_id.to_owned(),
            node_id: node_id.to_owned(),
            volume_capability: Some(capability.clone()),
            ..Default::default()
        };
        let answer = self.controller().controller_publish_volume(request).await?;
        Ok(answer.into_inner().publish_context)
    }

    pub(crate) async fn unpublish(&self, volume_id: &str, node_id: &str) -> Result<(), Status> {
        let request = ControllerUnpublishVolumeRequest {
            volume_id: volume_id.to_owned(),
            node_id: node_id.to_owned(),
            ..Default::default()
        };
        self.controller().controller_unpublish_volume(request).await.map(drop)
    }

    pub(crate) async fn stage(
        &self,
        volume_id: &str,
        capability: &VolumeCapability,
        publish_context: BTreeMap<String, String>,
    ) -> Result<(), Status> {
        let request = NodeStageVolumeRequest {
            volume_id: volume_id.to_owned(),
            publish_context,
            staging_target_path: text(&self.staging(volume_id)),
            volume_capability: Some(capability.clone()),
            ..Default::default()
        };
        self.node().node_stage_volume(request).await.map(drop)
    }

    pub(crate) async fn unstage(&self, volume_id: &str) -> Result<(), Status> {
        let request = NodeUnstageVolumeRequest {
            volume_id: volume_id.to_owned(),
            staging_target_path: text(&self.staging(volume_id)),
        };
        self.node().node_unstage_volume(request).await.map(drop)
    }

    /// Shows it to a pod, whose path is returned.
    pub(crate) async fn show(
        &self,
        volume_id: &str,
        capability: &VolumeCapability,
        pod: &str,
    ) -> Result<PathBuf, Status> {
        let target = self.target(volume_id).join(pod);
        let request = NodePublishVolumeRequest {
            volume_id: volume_id.to_owned(),
            staging_target_path: text(&self.staging(volume_id)),
            target_path: text(&target),
            volume_capability: Some(capability.clone()),
            ..Default::default()
        };
        self.node().node_publish_volume(request).await.map(|_| target)
    }

    pub(crate) async fn hide(&self, volume_id: &str, pod: &str) -> Result<(), Status> {
        let request = NodeUnpublishVolumeRequest {
            volume_id: volume_id.to_owned(),
            target_path: text(&self.target(volume_id).join(pod)),
        };
        self.node().node_unpublish_volume(request).await.map(drop)
    }

    /// All that is needed to use a volume: published, staged, shown to a pod.
    pub(crate) async fn bring(&self, volume_id: &str, capability: &VolumeCapability) -> PathBuf {
        let context = self.publish(volume_id, &self.node_id, capability).await.unwrap();
        self.stage(volume_id, capability, context).await.unwrap();
        self.show(volume_id, capability, "pod").await.unwrap()
    }

    /// The way back.
    pub(crate) async fn take(&self, volume_id: &str) {
        self.hide(volume_id, "pod").await.unwrap();
        self.unstage(volume_id).await.unwrap();
        self.unpublish(volume_id, &self.node_id).await.unwrap();
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
