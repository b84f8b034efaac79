//! bollard, Rust's client library, against the engine of DOCKER_HOST. IMAGE is there.
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::StartExecResults;
use bollard::models::{ContainerCreateBody, ExecConfig, HostConfig, NetworkCreateRequest, VolumeCreateOptions};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveVolumeOptions, StartContainerOptions, StatsOptionsBuilder, StopContainerOptionsBuilder, WaitContainerOptions,
};
use bollard::Docker;
use futures_util::{StreamExt, TryStreamExt};
use std::collections::HashMap;
use tokio::io::AsyncWriteExt;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn words(list: &[&str]) -> Option<Vec<String>> {
    Some(list.iter().map(|word| word.to_string()).collect())
}

struct Check {
    docker: Docker,
    image: String,
}

impl Check {
    async fn container(&self, name: &str, command: &[&str], host: Option<HostConfig>) -> Result<String, Error> {
        let body = ContainerCreateBody { image: Some(self.image.clone()), cmd: words(command), host_config: host, ..Default::default() };
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let id = self.docker.create_container(Some(options), body).await?.id;
        self.docker.start_container(&id, None::<StartContainerOptions>).await?;
        Ok(id)
    }

    async fn remove(&self, id: &str) -> Result<(), Error> {
        self.docker.remove_container(id, Some(RemoveContainerOptionsBuilder::default().force(true).v(true).build())).await
    }

    async fn life(&self) -> Outcome {
        let host = HostConfig { memory: Some(64 << 20), ..Default::default() };
        let id = self.container("bollard-life", &["sh", "-c", "echo out; echo err >&2; sleep 1000"], Some(host)).await?;
        let details = self.docker.inspect_container(&id, None::<InspectContainerOptions>).await?;
        assert_eq!(details.host_config.unwrap().memory, Some(64 << 20));
        assert_eq!(details.state.unwrap().running, Some(true));
        let filters = HashMap::from([("name", vec!["bollard-life"])]);
        let listed = self.docker.list_containers(Some(ListContainersOptionsBuilder::default().filters(&filters).build())).await?;
        assert_eq!(listed.len(), 1);
        let mut stats = self.docker.stats(&id, Some(StatsOptionsBuilder::default().stream(false).build()));
        assert!(stats.try_next().await?.unwrap().memory_stats.unwrap().usage.unwrap() > 0);
        self.docker.stop_container(&id, Some(StopContainerOptionsBuilder::default().t(0).build())).await?;
        match self.docker.wait_container(&id, None::<WaitContainerOptions>).next().await {
            Some(Err(Error::DockerContainerWaitError { code, .. })) => assert_eq!(code, 137),
            other => panic!("expected 137, not {other:?}"),
        }
        self.remove(&id).await?;
        match self.docker.inspect_container(&id, None::<InspectContainerOptions>).await {
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            other => panic!("expected 404, not {other:?}"),
        }
    }

    async fn logs(&self) -> Outcome {
        let id = self.container("bollard-logs", &["sh", "-c", "echo out; sleep 0.3; echo err >&2"], None).await?;
        let options = LogsOptionsBuilder::default().follow(true).stdout(true).stderr(true).build();
        let lines: Vec<LogOutput> = self.docker.logs(&id, Some(options)).try_collect().await?;
        assert!(matches!(&lines[0], LogOutput::StdOut { message } if message.as_ref() == b"out\n"));
        assert!(matches!(&lines[1], LogOutput::StdErr { message } if message.as_ref() == b"err\n"));
        Ok(self.remove(&id).await?)
    }

    async fn exec(&self) -> Outcome {
        let id = self.container("bollard-exec", &["sleep", "1000"], None).await?;
        let command = words(&["sh", "-c", "read line; echo got $line; exit 6"]);
        let config = ExecConfig { cmd: command, attach_stdin: Some(true), attach_stdout: Some(true), ..Default::default() };
        let exec = self.docker.create_exec(&id, config).await?.id;
        let StartExecResults::Attached { output, mut input } = self.docker.start_exec(&exec, None).await? else { panic!("detached") };
        input.write_all(b"hello\n").await?;
        let text: Vec<String> = output.map_ok(|piece| piece.to_string()).try_collect().await?;
        assert_eq!(text.concat(), "got hello\n");
        assert_eq!(self.docker.inspect_exec(&exec).await?.exit_code, Some(6));
        Ok(self.remove(&id).await?)
    }

    async fn objects(&self) -> Outcome {
        let network = NetworkCreateRequest { name: "bollard-net".into(), ..Default::default() };
        self.docker.create_network(network).await?;
        self.docker.create_volume(VolumeCreateOptions { name: Some("bollard-vol".into()), ..Default::default() }).await?;
        let host = HostConfig {
            network_mode: Some("bollard-net".into()),
            binds: words(&["bollard-vol:/data"]),
            ..Default::default()
        };
        let id = self.container("bollard-objects", &["sh", "-c", "touch /data/x && sleep 1000"], Some(host)).await?;
        self.remove(&id).await?;
        self.docker.remove_network("bollard-net").await?;
        Ok(self.docker.remove_volume("bollard-vol", None::<RemoveVolumeOptions>).await?)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let docker = Docker::connect_with_unix_defaults()?;
    assert_eq!(docker.ping().await?, "OK");
    let docker = docker.negotiate_version().await?;
    let check = Check { docker, image: std::env::var("IMAGE")? };
    check.life().await?;
    println!("ok life");
    check.logs().await?;
    println!("ok logs");
    check.exec().await?;
    println!("ok exec");
    check.objects().await?;
    println!("ok objects");
    Ok(())
}
