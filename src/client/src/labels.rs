//! Labels and annotations that tell pods and containers apart; crictl and kubelets use the same.

/// Label: name of the pod.
pub(crate) const POD: &str = "io.kubernetes.pod.name";
/// Label: namespace of the pod.
pub(crate) const NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// Label: uid of the pod.
pub(crate) const UID: &str = "io.kubernetes.pod.uid";
/// Label: name of the container.
pub(crate) const CONTAINER: &str = "io.kubernetes.container.name";
/// What an annotation begins with that names devices.
pub(crate) const CDI: &str = "cdi.k8s.io/";
/// Annotation of a container: how often it was started before.
pub(crate) const RESTARTS: &str = "io.kubernetes.container.restartCount";
/// Annotation of a container: seconds between asking it to end and killing it.
pub(crate) const GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";
/// Annotation of a pod that `peapod run` made: where its logs and volumes are.
pub(crate) const RUN_DIR: &str = "peapod.run/dir";
/// Annotation of a pod that `peapod run` made: the manifest, by its absolute path.
pub(crate) const RUN_FILE: &str = "peapod.run/file";
/// Annotation of a pod that `peapod run` made: the id of that run.
pub(crate) const RUN_ID: &str = "peapod.run/id";
/// Annotation of a pod that `peapod run` made for a Job or Deployment: that one's kind and name, `Job/work`.
pub(crate) const WORKLOAD: &str = "peapod.run/workload";
/// Annotation of a pod that a kubelet made: where it heard of the pod.
pub(crate) const KUBELET: &str = "kubernetes.io/config.source";
