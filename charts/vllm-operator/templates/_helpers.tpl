{{- define "vllm-operator.labels" -}}
app.kubernetes.io/name: vllm-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "vllm-operator.selector" -}}
app.kubernetes.io/name: vllm-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "vllm-operator.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "vllm-operator.settings" -}}
{{- $settings := deepCopy .Values.settings -}}
{{- if .Values.watchNamespaces }}{{ $_ := set $settings "watchNamespaces" .Values.watchNamespaces }}{{ end -}}
{{- $images := $settings.images | default dict -}}
{{- if not $images.operator }}{{ $_ := set $images "operator" (include "vllm-operator.image" .) }}{{ end -}}
{{- $_ := set $settings "images" $images -}}
{{ toYaml $settings }}
{{- end }}

{{- define "vllm-operator.classRules" -}}
- apiGroups: [vllm-operator.dev]
  resources: [servingclasses]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [namespaces]   # their labels: which may use a class
  verbs: [list, watch]
{{- end }}

{{- /* Exactly what the operator uses: a test compares it with the API server's audit log. */ -}}
{{- define "vllm-operator.rules" -}}
- apiGroups: [vllm-operator.dev]
  resources: [inferenceservices]
  verbs: [list, watch]
- apiGroups: [vllm-operator.dev]
  resources: [inferenceservices/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods/log]   # of failed containers
  verbs: [get]
- apiGroups: [""]
  resources: [events]   # list: of pods in trouble
  verbs: [create, list]
- apiGroups: [coordination.k8s.io]
  resources: [leases]   # of operators: only the one that holds it acts
  resourceNames: [vllm-operator]
  verbs: [get, create, update]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [monitoring.coreos.com]
  resources: [servicemonitors]
  verbs: [get, list, watch, create, patch]
{{- end }}
