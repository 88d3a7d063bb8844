{{- define "campaignpool.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Short enough for the suffixes that follow it. */}}
{{- define "campaignpool.fullname" -}}
{{- $name := include "campaignpool.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" }}
{{- else if contains .Release.Name $name }}
{{- $name | trunc 53 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 53 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Of objects outside of a namespace: two releases in two namespaces must not meet. */}}
{{- define "campaignpool.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "campaignpool.fullname" .) | trunc 100 | trimSuffix "-" }}
{{- end }}

{{- define "campaignpool.selectorLabels" -}}
app.kubernetes.io/name: {{ include "campaignpool.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "campaignpool.labels" -}}
{{- $own := include "campaignpool.selectorLabels" . | fromYaml }}
{{- $own = merge $own (dict
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service
  "app.kubernetes.io/part-of" "campaignpool"
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_")) }}
{{- merge $own .Values.commonLabels | toYaml }}
{{- end }}

{{/* Labels and annotations of an object: (list . labels annotations). */}}
{{- define "campaignpool.metadata" -}}
{{- $root := index . 0 -}}
labels: {{- merge (include "campaignpool.labels" $root | fromYaml) (index . 1) | toYaml | nindent 2 }}
{{- with merge (dict) (index . 2) $root.Values.commonAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "campaignpool.serviceAccountName" -}}
{{- $default := ternary (include "campaignpool.fullname" .) "default" .Values.serviceAccount.create }}
{{- default $default .Values.serviceAccount.name }}
{{- end }}

{{- define "campaignpool.subject" -}}
- kind: ServiceAccount
  name: {{ include "campaignpool.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* An image's reference: (list . image). */}}
{{- define "campaignpool.image" -}}
{{- $root := index . 0 }}
{{- $image := index . 1 }}
{{- $path := $image.repository }}
{{- with $image.registry }}
{{- $path = printf "%s/%s" (trimSuffix "/" .) $path }}
{{- end }}
{{- if $image.digest }}
{{- printf "%s@%s" $path $image.digest }}
{{- else }}
{{- printf "%s:%s" $path (default $root.Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{/* Both spellings: some programs read one, some the other. */}}
{{- define "campaignpool.proxyEnv" -}}
{{- with .Values.proxy.http }}
- {name: HTTP_PROXY, value: {{ . | quote }}}
- {name: http_proxy, value: {{ . | quote }}}
{{- end }}
{{- with .Values.proxy.https }}
- {name: HTTPS_PROXY, value: {{ . | quote }}}
- {name: https_proxy, value: {{ . | quote }}}
{{- end }}
{{- if or .Values.proxy.http .Values.proxy.https }}
{{- $direct := printf "localhost,127.0.0.1,.svc,.cluster.local,$(KUBERNETES_SERVICE_HOST)%s" (ternary (printf ",%s" .Values.proxy.noProxy) "" (ne .Values.proxy.noProxy "")) }}
- {name: NO_PROXY, value: {{ $direct | quote }}}
- {name: no_proxy, value: {{ $direct | quote }}}
{{- end }}
{{- end }}

{{/* Changes to the Jobs' pods: pull secrets and the proxy, then what the values say. */}}
{{- define "campaignpool.seederPodTemplate" -}}
{{- $template := deepCopy .Values.seeder.podTemplate }}
{{- $spec := default (dict) $template.spec }}
{{- if and .Values.imagePullSecrets (not (hasKey $spec "imagePullSecrets")) }}
{{- $_ := set $spec "imagePullSecrets" .Values.imagePullSecrets }}
{{- end }}
{{- with include "campaignpool.proxyEnv" . | fromYamlArray }}
{{- $container := dict "name" "seeder" "env" . }}
{{- $_ := set $spec "containers" (prepend (default (list) $spec.containers) $container) }}
{{- end }}
{{- if $spec }}
{{- $_ := set $template "spec" $spec }}
{{- end }}
{{- toJson $template }}
{{- end }}

{{- define "campaignpool.check" -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.leaderElection.enabled) }}
{{- fail "replicas: more than one needs leaderElection.enabled=true" }}
{{- end }}
{{- end }}
