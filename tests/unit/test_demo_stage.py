"""The demo's operator is the container of the chart: what differs is what an image and a cluster would give it."""

from chiwar.demo.stage import POD, SYSTEM, chart, pod


def test_the_pod_is_that_of_the_deployment_but_for_what_an_image_and_a_cluster_give() -> None:
    (deployment,) = chart()["Deployment"]
    template = deployment["spec"]["template"]
    running = pod(deployment, {"KUBECONFIG": "/somewhere"})
    assert running["metadata"] == {**template["metadata"], "name": POD, "namespace": SYSTEM}
    (container,), (declared,) = running["spec"].pop("containers"), template["spec"].pop("containers")
    assert running["spec"] == {**template["spec"], "restartPolicy": "Never"}
    assert container.pop("command") == ["python", "-m", "campaignpool_operator"]
    assert container["env"] == [*declared.pop("env"), {"name": "KUBECONFIG", "value": "/somewhere"}]
    del container["env"]
    assert container == declared
    assert {"securityContext", "readinessProbe", "livenessProbe"} <= declared.keys()
