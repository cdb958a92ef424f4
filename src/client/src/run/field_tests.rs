//! What fields of a Pod become on the fake runtime.

use super::bench::Bench;

#[tokio::test]
async fn what_containers_mount_reaches_the_runtime() {
    let bench = Bench::new();
    let spec = "  volumes: [{name: i, image: {reference: 'tool:1'}}, {name: v}, {name: d, downwardAPI: {items: []}}]
  containers:
  - name: a
    image: 'tool:1'
    command: [sh, -c, 'echo ready; sleep 100']
    volumeMounts: [{name: i, mountPath: /i, subPath: bin}, {name: v, mountPath: /v}, {name: d, mountPath: /d}]
";
    let status = bench.run(spec, async |_, signal| {
        bench.printed.wait_for("| ready").await;
        let mounts = bench.fake.state(|state| state.containers.values().next().unwrap().config.mounts.clone());
        let places: Vec<_> =
            mounts.iter().map(|mount| (mount.container_path.as_str(), mount.readonly, mount.image.is_some())).collect();
        assert_eq!(
            places,
            [
                ("/i", true, true),
                ("/v", false, false),
                ("/d", true, false),
                ("/etc/hosts", false, false),
                ("/dev/termination-log", false, false),
            ]
        );
        assert_eq!((mounts[0].image_sub_path.as_str(), mounts[0].host_path.as_str()), ("bin", ""));
        assert!(mounts[0].image.as_ref().unwrap().image.starts_with("sha256:"));
        assert!(std::fs::read_to_string(&mounts[3].host_path).unwrap().ends_with("10.1.2.3\tweb\n"));
        signal();
    });
    assert_eq!(status.await, Ok(130));
    bench.assert_nothing_left();
}

#[tokio::test]
async fn what_the_runtime_lacks_is_said_before_anything_is_made() {
    let bench = Bench::new();
    let said = bench.to_its_end("  hostUsers: false\n  containers: [{name: a, image: 'tool:1'}]\n").await.unwrap_err();
    assert_eq!(
        said,
        "fake 1 does not do hostUsers: false (user namespaces): remove it if the pod may run without, or choose another \
         runtime"
    );
    assert_eq!(bench.fake.calls(), Vec::<String>::new());
    bench.assert_nothing_left();
}

#[tokio::test]
async fn images_are_pulled_with_the_secrets_that_fit_the_closest_first() {
    let secret = |name: &str, registry: &str, user: &str| {
        let config = format!(
            "{{\\\"auths\\\": {{\\\"{registry}\\\": {{\\\"username\\\": \\\"{user}\\\", \\\"password\\\": \\\"x\\\"}}}}}}"
        );
        format!(
            "---\napiVersion: v1\nkind: Secret\ntype: kubernetes.io/dockerconfigjson\nmetadata: {{name: {name}}}\n\
             stringData: {{.dockerconfigjson: \"{config}\"}}\n"
        )
    };
    let secrets = [
        secret("one", "https://r.example/v1/", "me"),
        secret("two", "r.example/team", "wrong"),
        secret("other", "other.example", "nobody"),
    ];
    let spec = format!(
        "  restartPolicy: Never\n  imagePullSecrets: [{{name: one}}, {{name: two}}, {{name: other}}, {{name: gone}}]\n  \
         containers: [{{name: a, image: 'r.example/team/tool:1', command: ['true']}}]\n{}",
        secrets.concat()
    );
    let bench = Bench::new();
    assert_eq!(bench.to_its_end(&spec).await, Ok(0));
    let pulls: Vec<String> = bench.fake.calls().into_iter().filter(|call| call.starts_with("PullImage")).collect();
    assert_eq!(pulls, ["PullImage r.example/team/tool:1 as wrong", "PullImage r.example/team/tool:1 as me"]);
    let bench = Bench::new();
    let said = bench.to_its_end(&spec.replace("\\\"me\\\"", "\\\"wrong\\\"")).await.unwrap_err();
    assert!(said.contains("container a: cannot pull r.example/team/tool:1: PullImage: not for wrong"), "{said}");
    bench.assert_nothing_left();
}
