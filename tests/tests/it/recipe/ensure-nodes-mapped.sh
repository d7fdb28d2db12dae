# Fills ConfigMap gpu-map as the peer's script of this name does: on every node with GPUs that is schedulable and has no
# entry yet, a Pod without GPUs of its own asks nvidia-smi.
kubectl get configmap gpu-map -o name >/dev/null 2>&1 || kubectl create configmap gpu-map
for node in $(kubectl get nodes -l nvidia.com/gpu.present=true -o jsonpath='{.items[*].metadata.name}'); do
  [ -z "$(kubectl get configmap gpu-map -o jsonpath="{.data.$node}")" ] || continue
  [ -z "$(kubectl get node "$node" -o jsonpath='{.spec.unschedulable}')" ] || continue
  kubectl apply -f - <<EOT
apiVersion: v1
kind: Pod
metadata:
  name: $node-map
  labels: {app: gather-gpu-map}
spec:
  restartPolicy: Never
  nodeSelector: {kubernetes.io/hostname: $node}
  containers:
  - name: ask
    image: nvcr.io/nvidia/cuda:12.8.0-base-ubuntu22.04
    command: [nvidia-smi, '--query-gpu=index,uuid', '--format=csv,noheader']
    env: [{name: NVIDIA_VISIBLE_DEVICES, value: all}]
    resources: {limits: {nvidia.com/gpu: "0"}}
EOT
  kubectl wait --for=jsonpath='{.status.phase}'=Succeeded "pod/$node-map" --timeout=30s
  # Lines such as "0, GPU-17".
  entry=$(kubectl logs "$node-map" | sed -E 's/^([0-9]+), (.+)$/"\2": \1/' | paste -sd,)
  kubectl patch configmap gpu-map --type=merge -p "{\"data\":{\"$node\":\"{${entry//\"/\\\"}}\"}}"
  kubectl delete pod "$node-map" --wait=false
done
