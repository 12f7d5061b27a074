use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, CopyTargetOptions, GenericImage, ImageExt as _};

use super::ServerError;
use super::config::Config;
use super::image::{self, docker};
use super::port::random;
use super::watchdog::Watchdog;

const CONF: &str = "/latchkey-redis.conf";
const STOP_SECONDS: i32 = 30;
const KILL_TIMEOUT: Duration = Duration::from_secs(30);

/// A container with a `redis-server` on the host's network.
#[derive(Debug)]
pub(super) struct Container {
    // Its destructor panics outside a runtime; the watchdog removes the container instead.
    container: ManuallyDrop<ContainerAsync<GenericImage>>,
    name: String,
    _watchdog: Watchdog,
}

impl Container {
    pub(super) async fn start(config: &Config, addr: SocketAddr) -> Result<Self, ServerError> {
        let image = image::for_tests().await?;
        let name = format!("latchkey-test-{}-{:x}", std::process::id(), random());
        // Should this process die while the daemon creates the container, it appears a moment
        // after the first attempt to remove it.
        let mut watchdog = Watchdog::start(&format!(
            "for pause in 1 2 3 0; do docker rm -f -v {name}; sleep $pause; done"
        ))?;
        let container = GenericImage::new(&image.name, &image.tag)
            .with_container_name(&name)
            .with_host_config_modifier(|host| host.network_mode = Some("host".to_owned()))
            .with_copy_to(
                CopyTargetOptions::new(CONF),
                config
                    .redis_conf(addr.port(), Path::new("/data"), None)
                    .into_bytes(),
            )
            .with_cmd(["redis-server", CONF])
            .start()
            .await;
        watchdog.order(&format!("docker rm -f -v {name}"))?;
        let container = container.map_err(ServerError::docker("start a container"))?;
        Ok(Self {
            container: ManuallyDrop::new(container),
            name,
            _watchdog: watchdog,
        })
    }

    pub(super) async fn start_again(&self) -> Result<(), ServerError> {
        self.container
            .start()
            .await
            .map_err(ServerError::docker("start the container again"))
    }

    pub(super) async fn kill(&self) -> Result<(), ServerError> {
        if self.is_running().await? {
            docker(&["kill", "--signal", "KILL", &self.name], KILL_TIMEOUT).await?;
        }
        Ok(())
    }

    pub(super) async fn stop(&self) -> Result<(), ServerError> {
        self.resume().await?;
        self.container
            .stop_with_timeout(Some(STOP_SECONDS))
            .await
            .map_err(ServerError::docker("stop the container"))
    }

    pub(super) async fn pause(&self) -> Result<(), ServerError> {
        if self.is_paused().await? {
            return Ok(());
        }
        self.container
            .pause()
            .await
            .map_err(ServerError::docker("pause the container"))
    }

    pub(super) async fn resume(&self) -> Result<(), ServerError> {
        if !self.is_paused().await? {
            return Ok(());
        }
        self.container
            .unpause()
            .await
            .map_err(ServerError::docker("resume the container"))
    }

    pub(super) async fn is_running(&self) -> Result<bool, ServerError> {
        self.container
            .is_running()
            .await
            .map_err(ServerError::docker("look after the container"))
    }

    pub(super) async fn log(&self) -> String {
        let log = self.container.stdout_to_vec().await.unwrap_or_default();
        let errors = self.container.stderr_to_vec().await.unwrap_or_default();
        String::from_utf8_lossy(&[log, errors].concat()).into_owned()
    }

    async fn is_paused(&self) -> Result<bool, ServerError> {
        let format = ["inspect", "--format", "{{.State.Paused}}", &self.name];
        Ok(docker(&format, KILL_TIMEOUT).await?.trim() == "true")
    }
}
