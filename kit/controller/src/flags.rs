//! Flags that say which API server a program speaks to, under the peers' names.

use std::path::PathBuf;

use crate::Credentials;

/// The usual flags of programs that talk to Kubernetes.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Kubernetes")]
pub struct KubeFlags {
    /// Kubeconfig file; without it KUBECONFIG, then the Pod's service account, then ~/.kube/config
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long)]
    pub context: Option<String>,
    /// User of the kubeconfig
    #[arg(long)]
    pub user: Option<String>,
    /// Cluster of the kubeconfig
    #[arg(long)]
    pub cluster: Option<String>,
}

impl KubeFlags {
    /// What these flags say about the API server, for a program that calls itself `user_agent`.
    #[must_use]
    pub fn credentials(&self, user_agent: Option<String>) -> Credentials {
        let Self { kubeconfig, context, user, cluster } = self.clone();
        Credentials { kubeconfig, context, cluster, user, user_agent }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        kube: KubeFlags,
    }

    #[test]
    fn the_peers_flags_are_accepted() {
        let flags = Program::try_parse_from("x --kubeconfig /k --context c --user u --cluster l".split(' ')).unwrap().kube;
        let credentials = flags.credentials(Some("me".into()));
        assert_eq!((credentials.user_agent.as_deref(), credentials.kubeconfig), (Some("me"), Some("/k".into())));
        assert_eq!([credentials.context, credentials.user, credentials.cluster], ["c", "u", "l"].map(|s| Some(s.to_owned())));
    }
}
