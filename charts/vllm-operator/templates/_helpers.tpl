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
