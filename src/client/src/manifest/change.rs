//! What another wording of what runs asks for: the files of its volumes can be replaced under its pods, as a kubelet
//! does it; all else is for new pods.

use std::collections::BTreeSet;

use super::{Pod, SubPath, VolumeSource, Workload};

/// How much of what runs is to be another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkloadChange {
    Nothing,
    /// Files of volumes, what only pulls need, and how many pods of a Job run at a time.
    Files,
    Pods,
}

impl Workload {
    /// From this one to another wording of it.
    pub(crate) fn change_to(&self, wish: &Self) -> WorkloadChange {
        if self == wish {
            WorkloadChange::Nothing
        } else if self.fixed() == wish.fixed() {
            WorkloadChange::Files
        } else {
            WorkloadChange::Pods
        }
    }

    /// Whether pods of it end for another wording.
    pub(crate) fn is_replaced_by(&self, wish: &Self) -> bool {
        match (self, wish) {
            (Self::Deployment(own), Self::Deployment(wish)) => own.template.fixed() != wish.template.fixed(),
            _ => self.change_to(wish) == WorkloadChange::Pods,
        }
    }

    /// Whether another number of its pods run at a time by another wording.
    pub(crate) fn is_resized_by(&self, wish: &Self) -> bool {
        matches!((self, wish), (Self::Job(own), Self::Job(wish)) if own.parallelism != wish.parallelism)
    }

    fn fixed(&self) -> Self {
        match self {
            Self::Pod(pod) => Self::Pod(pod.fixed()),
            Self::Job(job) => {
                let mut job = job.clone();
                job.template = job.template.fixed();
                job.parallelism = 0;
                Self::Job(job)
            }
            Self::Deployment(deployment) => {
                let mut deployment = deployment.clone();
                deployment.template = deployment.template.fixed();
                Self::Deployment(deployment)
            }
        }
    }
}

impl Pod {
    /// Without all that can be another one while it runs.
    pub(crate) fn fixed(&self) -> Self {
        let mut pod = self.clone();
        pod.metadata.wording.clear();
        pod.placement.pull_secrets.clear();
        // Who mounts a part of a volume has the file that was there then, whatever is put into its place.
        let mounts = self.all_containers().flat_map(|container| &container.mounts);
        let in_parts: BTreeSet<&str> =
            mounts.filter(|mount| mount.sub_path != SubPath::Whole).map(|mount| mount.volume.as_str()).collect();
        for volume in &mut pod.volumes {
            if let VolumeSource::Files(set) = &mut volume.source
                && !in_parts.contains(volume.name.as_str())
            {
                set.files.clear();
            }
        }
        pod
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{ManifestSource, load};

    /// What a Deployment asks for whose ConfigMap `c`, Secret `s` and Secret for pulls `p` say this.
    fn with(config: &str, secret: &str, user: &str, use_of_them: &str) -> Workload {
        let text = format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: c}}, data: {{k: '{config}'}}}}
---
{{apiVersion: v1, kind: Secret, metadata: {{name: s}}, stringData: {{k: '{secret}'}}}}
---
{{apiVersion: v1, kind: Secret, metadata: {{name: p}}, stringData: {{.dockercfg: '{{\"r\": {{\"username\": \"{user}\", \"password\": \"x\"}}}}'}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  selector: {{matchLabels: {{a: b}}}}
  template:
    metadata: {{labels: {{a: b}}}}
    spec:
      imagePullSecrets: [{{name: p}}]
      volumes: [{{name: c, configMap: {{name: c}}}}, {{name: s, secret: {{secretName: s}}}}]
      containers: [{{name: m, image: x, {use_of_them}}}]
"
        );
        load(&[ManifestSource { name: String::new(), path: None, text }]).unwrap().workloads.remove(0)
    }

    #[test]
    fn variables_and_parts_are_for_new_pods_and_files_for_those_that_run() {
        use WorkloadChange::{Files, Nothing, Pods};
        let mounted = "volumeMounts: [{name: c, mountPath: /c}, {name: s, mountPath: /s}]";
        let in_part = "volumeMounts: [{name: c, mountPath: /c, subPath: k}, {name: s, mountPath: /s}]";
        let variable = "env: [{name: A, valueFrom: {configMapKeyRef: {name: c, key: k}}}]";
        let all = "envFrom: [{secretRef: {name: s}}]";
        for (used, config, secret, user) in [
            (mounted, Files, Files, Files),
            (in_part, Pods, Files, Files),
            (variable, Pods, Files, Files),
            (all, Files, Pods, Files),
        ] {
            let old = with("1", "1", "a", used);
            assert_eq!(old.change_to(&with("1", "1", "a", used)), Nothing, "{used}");
            assert_eq!(old.change_to(&with("2", "1", "a", used)), config, "{used}");
            assert_eq!(old.change_to(&with("1", "2", "a", used)), secret, "{used}");
            assert_eq!(old.change_to(&with("1", "1", "b", used)), user, "{used}");
        }
    }
}
