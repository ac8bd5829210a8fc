//! `cargo xtask csi`: kubernetes-csi's own test program over a running driver and cluster, for
//! file systems and for raw block volumes.
//!
//! Everything that is skipped must be named in [`SKIPPED`], with its reason; a failure is a
//! failure. Afterwards nothing may be left: no image, no mount, no loop device.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    machine, process, rocksdb,
    test::{DevCluster, Scratch, build_seabed},
};

const PORT: u16 = 28_400;
const PACKAGE: &str = "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity";
/// The newest that a released Go builds; the branch after it wants a driver to have more.
const VERSION: &str = "v5.4.0";
/// Of Go, as csi-test's go.mod says.
const GO_MIN: (u32, u32) = (1, 23);
/// Debian's packages of a Go that is new enough, newest first.
const GO_PACKAGES: &[&str] =
    &["golang-1.26-go", "golang-1.25-go", "golang-1.24-go", "golang-1.23-go"];

/// What may be skipped: part of the name of a test, and why.
const SKIPPED: &[(&str, &str)] = &[
    ("ModifyVolume", "modifying volumes (QoS) is not offered"),
    ("volume attribute class", "modifying volumes (QoS) is not offered"),
    ("more volumes than the node max attach limit", "a node has no limit"),
    ("GroupController", "group snapshots are not offered yet"),
    ("GroupSnapshot", "group snapshots are not offered yet"),
];

const SERVES_WITHIN: Duration = Duration::from_secs(30);
/// Its grace, and some more on a machine that does much else.
const OWNER_ENDS_WITHIN: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only tests whose name matches this.
    #[arg(long)]
    focus: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    machine::for_volumes()?;
    show(&build_seabed()?, args.focus.as_deref())
}

/// Runs the program over this binary. Needs root: it mounts.
pub(crate) fn show(seabed: &Path, focus: Option<&str>) -> Result<()> {
    if !machine::is_root()? {
        bail!("volumes are mounted here: run as root");
    }
    let sanity = sanity()?;
    let scratch = Scratch::new("csi")?;
    let flags = ["--osd-size", "2G", "--sparse"];
    let cluster = DevCluster::up(seabed, &scratch.path().join("cluster"), PORT, &flags)?;
    for access in ["mount", "block"] {
        let dir = scratch.path().join(access);
        fs::create_dir(&dir)?;
        let driver = Driver::start(seabed, &cluster, &dir)?;
        let start = Instant::now();
        let said = ask(&sanity, &driver, &dir, access, focus)?;
        let seconds = start.elapsed().as_secs_f64();
        driver.end()?;
        owner_ends(&dir)?;
        println!("csi-sanity {VERSION}, {access}: {said} ({seconds:.0} s)");
        nothing_left(seabed, &cluster, &dir)?;
    }
    Ok(())
}

/// The driver, all its services in one process.
struct Driver {
    child: Option<Child>,
    socket: PathBuf,
    log: PathBuf,
}

impl Driver {
    fn start(seabed: &Path, cluster: &DevCluster, dir: &Path) -> Result<Self> {
        let (socket, log) = (dir.join("csi.sock"), dir.join("driver.log"));
        let file = fs::File::create(&log)?;
        let child = Command::new(seabed)
            .args(["csi", "all", "--node-id", "node-1", "--attach", "fuse-loop"])
            .arg("--endpoint")
            .arg(format!("unix://{}", socket.display()))
            .arg("--conf")
            .arg(cluster.conf())
            .arg("--state-dir")
            .arg(dir.join("state"))
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .context("starting the driver")?;
        let mut driver = Driver { child: Some(child), socket, log };
        let deadline = Instant::now() + SERVES_WITHIN;
        while !driver.socket.exists() {
            if let Some(child) = &mut driver.child
                && let Some(status) = child.try_wait()?
            {
                bail!("the driver ended with {status}:\n{}", driver.said());
            }
            if Instant::now() > deadline {
                bail!("the driver does not serve:\n{}", driver.said());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(driver)
    }

    /// The end of its log.
    fn said(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Ends it as a system does, with SIGTERM.
    fn end(mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        process::run(Command::new("kill").arg(child.id().to_string()))?;
        let status = child.wait()?;
        if !status.success() {
            bail!("the driver ended with {status}:\n{}", self.said());
        }
        Ok(())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if child.kill().and_then(|()| child.wait()).is_err() {
            eprintln!("the driver cannot be ended");
        }
    }
}

/// Runs the program; returns its summary.
fn ask(
    sanity: &Path,
    driver: &Driver,
    dir: &Path,
    access: &str,
    focus: Option<&str>,
) -> Result<String> {
    let report = dir.join("report.json");
    let mut command = Command::new(sanity);
    command
        .arg(format!("--csi.endpoint=unix://{}", driver.socket.display()))
        .arg(format!("--csi.mountdir={}", dir.join("target").display()))
        .arg(format!("--csi.stagingdir={}", dir.join("staging").display()))
        .arg(format!("--csi.testvolumeaccesstype={access}"))
        .arg(format!("--ginkgo.json-report={}", report.display()))
        .args(["--ginkgo.no-color", "--ginkgo.succinct"]);
    if let Some(focus) = focus {
        command.arg(format!("--ginkgo.focus={focus}"));
    }
    let done = process::output(&mut command)?;
    if !done.status.success() {
        println!("{}", String::from_utf8_lossy(&done.stdout));
        bail!("csi-sanity ended with {}; the driver said:\n{}", done.status, driver.said());
    }
    judge(&fs::read_to_string(&report)?, focus.is_some())
}

/// Reads Ginkgo's report: nothing failed, and what was skipped was meant to be.
fn judge(report: &str, focused: bool) -> Result<String> {
    let report: serde_json::Value = serde_json::from_str(report)?;
    let specs = report[0]["SpecReports"].as_array().context("the report has no specs")?;
    let (mut passed, mut skipped, mut wrong) = (0, 0, Vec::new());
    for spec in specs.iter().filter(|spec| spec["LeafNodeType"] == "It") {
        let state = spec["State"].as_str().unwrap_or("without a state");
        let mut words: Vec<&str> = spec["ContainerHierarchyTexts"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|text| text.as_str())
            .collect();
        words.extend(spec["LeafNodeText"].as_str());
        let name = words.join(" ");
        match state {
            "passed" => passed += 1,
            "skipped" if focused || SKIPPED.iter().any(|(part, _)| name.contains(part)) => {
                skipped += 1;
            }
            // Switched off in the program itself.
            "pending" => {}
            state => wrong.push(format!("{state}: {name}")),
        }
    }
    if !wrong.is_empty() {
        bail!("csi-sanity:\n{}", wrong.join("\n"));
    }
    if passed == 0 {
        bail!("csi-sanity ran no test");
    }
    Ok(format!("{passed} passed, 0 failed, {skipped} skipped"))
}

/// The owner of devices ends by itself when it holds none.
fn owner_ends(dir: &Path) -> Result<()> {
    let socket = dir.join("state/attachd.sock");
    let deadline = Instant::now() + OWNER_ENDS_WITHIN;
    while std::os::unix::net::UnixStream::connect(&socket).is_ok() {
        if Instant::now() > deadline {
            bail!("attachd still serves {}, with nothing to hold", socket.display());
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

/// What a test makes it takes away, to the last object.
fn nothing_left(seabed: &Path, cluster: &DevCluster, dir: &Path) -> Result<()> {
    let volume = |verb: &[&str]| {
        let mut command = Command::new(seabed);
        command.arg("volume").arg("--conf").arg(cluster.conf()).args(verb);
        process::read(&mut command)
    };
    let images = volume(&["ls", "rbd"])?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let below = dir.canonicalize()?;
    let mounts: Vec<&str> =
        mounts.lines().filter(|line| line.contains(&*below.to_string_lossy())).collect();
    let loops = process::read(Command::new("losetup").args(["--list", "--noheadings"]))?;
    let loops: Vec<&str> =
        loops.lines().filter(|line| line.contains(&*below.to_string_lossy())).collect();
    if !images.trim().is_empty() || !mounts.is_empty() || !loops.is_empty() {
        bail!("left behind: images [{images}], mounts {mounts:?}, loop devices {loops:?}");
    }
    Ok(())
}

/// The program, built once a machine.
fn sanity() -> Result<PathBuf> {
    let dir = rocksdb::cache_dir()?.join(format!("csi-sanity-{VERSION}"));
    let program = dir.join("csi-sanity");
    if program.exists() {
        return Ok(program);
    }
    let go = go()?;
    println!("building csi-sanity {VERSION} once into {}", dir.display());
    fs::create_dir_all(&dir)?;
    let install = format!("{PACKAGE}@{VERSION}");
    // Built aside: what is interrupted is not taken for whole.
    let aside = dir.join(format!("new-{}", std::process::id()));
    process::run(Command::new(go).args(["install", &install]).env("GOBIN", &aside))
        .context("csi-sanity cannot be had: is Go's module proxy reached?")?;
    fs::rename(aside.join("csi-sanity"), &program)?;
    fs::remove_dir(&aside)?;
    Ok(program)
}

/// A Go that is new enough: the machine's, or Debian's.
fn go() -> Result<PathBuf> {
    if let Some(go) = find_go() {
        return Ok(go);
    }
    let candidate = GO_PACKAGES.iter().find(|package| machine::available(package));
    let Some(package) = candidate else {
        bail!(
            "csi-sanity needs Go {}.{} or newer to be built, and neither this machine nor its \
             Debian has it (Debian 12: switch bookworm-backports on); put `go` on the PATH",
            GO_MIN.0,
            GO_MIN.1
        );
    };
    machine::install(&[package])?;
    find_go().with_context(|| format!("{package} is installed, and there is no Go to be found"))
}

fn find_go() -> Option<PathBuf> {
    let mut places = vec![PathBuf::from("go")];
    places.extend(GO_PACKAGES.iter().map(|package| {
        PathBuf::from("/usr/lib").join(package.replace("golang-", "go-").replace("-go", "/bin/go"))
    }));
    places.into_iter().find(|go| {
        let answer = process::read(Command::new(go).args(["env", "GOVERSION"]));
        answer.is_ok_and(|version| is_new_enough(&version))
    })
}

/// `go1.26.8`, and words behind it.
fn is_new_enough(version: &str) -> bool {
    let numbers = version.trim().trim_start_matches("go").split(|c: char| !c.is_ascii_digit());
    let mut numbers = numbers.map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= GO_MIN,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_go() {
        assert!(is_new_enough("go1.26.8\n") && is_new_enough("go1.23") && is_new_enough("go2.0"));
        assert!(!is_new_enough("go1.19.8") && !is_new_enough("devel") && !is_new_enough(""));
    }

    #[test]
    fn a_report_is_judged() {
        let spec = |state: &str, text: &str| {
            format!(
                r#"{{"LeafNodeType":"It","State":"{state}","ContainerHierarchyTexts":["A"],
                "LeafNodeText":"{text}"}}"#
            )
        };
        let report = |specs: &[String]| format!(r#"[{{"SpecReports":[{}]}}]"#, specs.join(","));
        let good = report(&[spec("passed", "x"), spec("skipped", "ModifyVolume y")]);
        assert_eq!(judge(&good, false).unwrap(), "1 passed, 0 failed, 1 skipped");
        for bad in [
            report(&[spec("passed", "x"), spec("failed", "z")]),
            report(&[spec("passed", "x"), spec("skipped", "something else")]),
            report(&[]),
            "[]".to_owned(),
        ] {
            assert!(judge(&bad, false).is_err(), "{bad}");
        }
    }
}
