//! Custom resources: definition, objects, columns, explanations.

use super::{Kubectl, table};

const DEFINITION: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList, shortNames: [wi], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    - {name: Color, type: string, jsonPath: .spec.color, priority: 1}
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type==\"Ready\")].status'}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [size]
            properties:
              size: {type: integer, minimum: 1, description: How large it is.}
              color: {type: string, default: red}
              replicas: {type: integer}
          status:
            type: object
            x-kubernetes-preserve-unknown-fields: true
";

const WIDGET: &str = "
apiVersion: example.com/v1
kind: Widget
metadata: {name: w}
spec: {size: 3, replicas: 1}
";

#[tokio::test]
async fn a_kind_of_ones_own() {
    let Some(kubectl) = Kubectl::start().await else { return };
    assert_eq!(
        kubectl.feed("apply -f -", DEFINITION).await.out,
        "customresourcedefinition.apiextensions.k8s.io/widgets.example.com created\n"
    );
    assert!(kubectl.ok("wait --for=condition=Established crd/widgets.example.com --timeout=20s").await.contains("condition met"));
    assert_eq!(table(&kubectl.ok("get crd").await)[1][0], "widgets.example.com");
    let said = kubectl.feed("apply -f -", WIDGET).await;
    assert_eq!(said.out, "widget.example.com/w created\n", "{said:?}");
    let said = kubectl.feed("apply -f -", &WIDGET.replace("size: 3", "size: 4")).await;
    assert_eq!(said.out, "widget.example.com/w configured\n", "{said:?}");

    let rows = table(&kubectl.ok("get wi").await);
    assert_eq!(rows[0], ["NAME", "SIZE", "READY", "AGE"]);
    assert_eq!(rows[1][..2], ["w", "4"]);
    let status = r#"{"status":{"conditions":[{"type":"Ready","status":"True"}]}}"#;
    let said = kubectl.args(&["patch", "widget", "w", "--subresource=status", "--type=merge", "-p", status], "").await;
    assert!(said.ok, "{said:?}");
    assert_eq!(table(&kubectl.ok("get widgets.example.com -o wide").await)[1][..4], ["w", "4", "red", "True"]);
    assert!(kubectl.ok("get all").await.contains("widget.example.com/w"));
    assert_eq!(kubectl.ok("scale widget w --replicas=3").await, "widget.example.com/w scaled\n");
    assert_eq!(kubectl.ok("get widget w -o jsonpath={.spec.replicas}").await, "3");

    let unknown = kubectl.feed("apply -f -", &WIDGET.replace("size: 3", "size: 3, sise: 3")).await;
    assert!(!unknown.ok && unknown.err.contains("unknown field \"spec.sise\""), "{unknown:?}");
    let invalid = kubectl.feed("apply -f -", &WIDGET.replace("size: 3", "size: 0")).await;
    assert!(
        !invalid.ok && invalid.err.contains("spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"),
        "{invalid:?}"
    );
    let explained = kubectl.ok("explain widget.spec").await;
    assert!(explained.contains("size\t<integer> -required-") && explained.contains("How large it is."), "{explained}");

    assert_eq!(
        kubectl.ok("delete crd widgets.example.com").await,
        "customresourcedefinition.apiextensions.k8s.io \"widgets.example.com\" deleted\n"
    );
    assert!(!kubectl.run("get widgets").await.ok);
}
