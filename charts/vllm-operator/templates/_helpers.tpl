{{- define "vllm-operator.labels" -}}
app.kubernetes.io/name: vllm-operator
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "vllm-operator.selector" -}}
app.kubernetes.io/name: vllm-operator
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "vllm-operator.image" -}}
{{- if not .Values.image.repository -}}
{{- fail "image.repository is not set, so there is no image to run: `make release REGISTRY=registry.example.com/team VERSION=1.2.3` in the source builds the images, pushes them, and packages a chart that names them; or name one that the cluster can pull, with --set image.repository=...,image.tag=..." -}}
{{- end -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "vllm-operator.settings" -}}
{{- $settings := deepCopy .Values.settings -}}
{{- if .Values.watchNamespaces }}{{ $_ := set $settings "watchNamespaces" .Values.watchNamespaces }}{{ end -}}
{{- if gt (int .Values.shards) 1 -}}
{{- if .Values.watchNamespaces }}{{ fail "shards share out all namespaces of the cluster: set shards or watchNamespaces, and not both" }}{{ end -}}
{{- $_ := set $settings "shards" (int .Values.shards) -}}
{{- end -}}
{{- $images := $settings.images | default dict -}}
{{- if not $images.operator }}{{ $_ := set $images "operator" (include "vllm-operator.image" .) }}{{ end -}}
{{- $_ := set $settings "images" $images -}}
{{- $_ := set $settings "operatorNamespace" .Release.Namespace -}}
{{ toYaml $settings }}
{{- end }}

{{- /* A Role for some Leases in a namespace, and its binding. The release's namespace in the name keeps releases of one name apart. */ -}}
{{- define "vllm-operator.leases" }}
{{- $name := printf "%s-%s-%s" .root.Release.Namespace .root.Release.Name .what }}
{{- $rules := list }}
{{- range .rules }}{{ $rules = append $rules (merge (dict "resourceNames" $.names) .) }}{{ end }}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name }}
  namespace: {{ .namespace | quote }}
  labels: {{- include "vllm-operator.labels" .root | nindent 4 }}
rules: {{- toYaml $rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name }}
  namespace: {{ .namespace | quote }}
  labels: {{- include "vllm-operator.labels" .root | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ $name }}}
subjects:
  - {kind: ServiceAccount, name: {{ .root.Release.Name | quote }}, namespace: {{ .root.Release.Namespace | quote }}}
{{- end }}
