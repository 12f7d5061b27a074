//! Order: the image named in the environment, an image of ours that is already here, a public
//! image that is already here, a public image from its registry, an image of ours built now.
//! An image of ours is thus also the memory that the registry could not be reached.

use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::kind::non_empty_var;
use super::{ServerError, process};

const OURS: &str = "latchkey-test-redis";
const PUBLIC: &str = "redis:7-alpine";

/// The daemon answers in milliseconds or is not there.
const DAEMON_TIMEOUT: Duration = Duration::from_secs(5);
/// The public image is about 15 MB; an image of ours is the quicker one on a slow line.
const PULL_TIMEOUT: Duration = Duration::from_secs(15);
/// For an image that nothing can replace.
const PATIENT_PULL_TIMEOUT: Duration = Duration::from_secs(300);
const BUILD_TIMEOUT: Duration = Duration::from_secs(60);

/// Packs the server with its libraries and its loader, as `ldd` lists them, into one layer.
///
/// `tar -h` stores what links point to under the names that the loader looks for.
const BUILD: &str = r#"
server=$(command -v redis-server) &&
{ echo "$server"; ldd "$server" | grep -o '/[^ ]*'; } | sed 's|^/||' |
tar -C / -chf - -T - |
docker import --change 'WORKDIR /data' --change 'VOLUME /data' - "$1"
"#;

/// Name and tag of an image that holds a `redis-server`, present on this machine.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) name: String,
    pub(super) tag: String,
}

/// The image that test containers run; found or made once per process.
///
/// # Errors
/// The reason why containers cannot be used here.
pub(super) async fn for_tests() -> Result<&'static Image, ServerError> {
    static IMAGE: OnceCell<Image> = OnceCell::const_new();
    IMAGE.get_or_try_init(find_or_build).await
}

async fn find_or_build() -> Result<Image, ServerError> {
    docker(&["version"], DAEMON_TIMEOUT).await?;
    if let Some(image) = non_empty_var("LATCHKEY_TEST_REDIS_IMAGE") {
        if !is_present(&image).await {
            docker(&["pull", "--quiet", &image], PATIENT_PULL_TIMEOUT).await?;
        }
        return Ok(Image::parse(&image));
    }
    let version = process::server_version().await;
    let ours = match &version {
        Some(version) => format!("{OURS}:{version}"),
        None => newest_of_ours().await.unwrap_or_default(),
    };
    for image in [ours.as_str(), PUBLIC] {
        if !image.is_empty() && is_present(image).await {
            return Ok(Image::parse(image));
        }
    }
    let limit = match version {
        Some(_) => PULL_TIMEOUT,
        None => PATIENT_PULL_TIMEOUT,
    };
    match docker(&["pull", "--quiet", PUBLIC], limit).await {
        Ok(_) => Ok(Image::parse(PUBLIC)),
        Err(no_public) if version.is_none() => Err(no_public),
        Err(_) => {
            build(&ours).await?;
            Ok(Image::parse(&ours))
        }
    }
}

async fn newest_of_ours() -> Option<String> {
    let list = ["image", "ls", "--format", "{{.Repository}}:{{.Tag}}", OURS];
    let names = docker(&list, DAEMON_TIMEOUT).await.ok()?;
    names.lines().next().map(str::to_owned)
}

async fn is_present(image: &str) -> bool {
    let inspect = ["image", "inspect", "--format", "{{.Id}}", image];
    docker(&inspect, DAEMON_TIMEOUT).await.is_ok()
}

async fn build(image: &str) -> Result<(), ServerError> {
    let mut build = Command::new("sh");
    build.args(["-c", BUILD, "sh", image]);
    run("build of a Redis image", build, BUILD_TIMEOUT).await?;
    Ok(())
}

/// Runs Docker's client and returns what it prints.
pub(super) async fn docker(args: &[&str], limit: Duration) -> Result<String, ServerError> {
    let mut client = Command::new("docker");
    client.args(args);
    run(&format!("docker {}", args[0]), client, limit).await
}

async fn run(tool: &str, mut command: Command, limit: Duration) -> Result<String, ServerError> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let failure = |output: String| ServerError::Tool {
        tool: tool.to_owned(),
        output,
    };
    let Output {
        status,
        stdout,
        stderr,
    } = timeout(limit, command.output())
        .await
        .map_err(|_elapsed| failure(format!("no answer within {limit:?}")))?
        .map_err(|error| failure(error.to_string()))?;
    if !status.success() {
        let stderr = String::from_utf8_lossy(&stderr);
        return Err(failure(
            stderr.lines().last().unwrap_or_default().to_owned(),
        ));
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

impl Image {
    /// A colon is a tag's only after the last slash: before it, it is a registry's port.
    fn parse(image: &str) -> Self {
        let (name, tag) = match image.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (image, "latest"),
        };
        Self {
            name: name.to_owned(),
            tag: tag.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Image;

    #[test]
    fn a_registry_port_is_not_a_tag() {
        for (text, name, tag) in [
            ("redis:7-alpine", "redis", "7-alpine"),
            ("registry:5000/redis", "registry:5000/redis", "latest"),
            ("registry:5000/redis:8", "registry:5000/redis", "8"),
        ] {
            let image = Image::parse(text);
            assert_eq!((image.name.as_str(), image.tag.as_str()), (name, tag));
        }
    }
}
