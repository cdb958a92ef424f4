//! Devices by CDI name: of the field, and of annotations.

use peapod_api::v1;
use peapod_spec::bounds::CDI_DEVICES;

use super::container_spec;

fn names(field: &[&str], annotations: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let config = v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: "main".into(), attempt: 0 }),
        image: Some(v1::ImageSpec { image: "busybox".into(), ..Default::default() }),
        cdi_devices: field.iter().map(|&name| v1::CdiDevice { name: name.into() }).collect(),
        annotations: annotations.iter().map(|&(key, value)| (key.into(), value.into())).collect(),
        ..Default::default()
    };
    container_spec(Some(config)).map(|spec| spec.cdi_devices).map_err(|error| error.to_string())
}

#[test]
fn a_device_that_is_named_twice_is_given_once() {
    let given = names(
        &["v.com/c=2", "v.com/c=1", "v.com/c=2"],
        &[("cdi.k8s.io/b", "v.com/c=4"), ("cdi.k8s.io/a", "v.com/c=3,v.com/c=1,v.com/c=3"), ("other", "v.com/c=9")],
    );
    assert_eq!(given.unwrap(), ["v.com/c=2", "v.com/c=1", "v.com/c=3", "v.com/c=4"]);
    assert_eq!(names(&[], &[]).unwrap(), [""; 0]);
}

#[test]
fn what_is_no_name_is_refused_with_its_place() {
    for (field, annotations, place) in [
        (&["v.com/c=1", "gpu"][..], &[][..], "config.CDI_devices[1].name: \"gpu\" is no name of a CDI device"),
        (&[], &[("cdi.k8s.io/x", "v.com/c=1, v.com/c=2")], "config.annotations[\"cdi.k8s.io/x\"]: "),
        (&[], &[("cdi.k8s.io/x", "")], "config.annotations[\"cdi.k8s.io/x\"]: \"\" is no name"),
    ] {
        let said = names(field, annotations).unwrap_err();
        assert!(said.starts_with(place), "{said}");
    }
    let many: Vec<String> = (0..=CDI_DEVICES).map(|number| format!("v.com/c={number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(names(&many[1..], &[]).unwrap().len(), CDI_DEVICES);
    assert!(names(&many, &[]).unwrap_err().contains("CDI_devices"));
    let said = names(&many[1..], &[("cdi.k8s.io/x", "v.com/c=0")]).unwrap_err();
    assert!(said.contains("those of annotations counted"), "{said}");
}
