{{- define "waxseal.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "waxseal.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "waxseal.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "waxseal.selectorLabels" -}}
app.kubernetes.io/name: {{ include "waxseal.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "waxseal.labels" -}}
{{ include "waxseal.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "waxseal.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "waxseal.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* waxseal.yaml: what the chart mounts, under what the values say. */}}
{{- define "waxseal.config" -}}
{{- if hasKey .Values.config "listen" -}}
{{- fail "config.listen: set listen.host and listen.port instead, which the port and the probes follow" -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if has .name (list "WAXSEAL_DRAIN_TIMEOUT_MS" "WAXSEAL_LISTEN") -}}
{{- fail (printf "extraEnv: %s: set config.drain.timeoutMs or listen instead, which the pod follows" .name) -}}
{{- end -}}
{{- end -}}
{{- $host := .Values.listen.host -}}
{{- if contains ":" $host -}}{{- $host = printf "[%s]" $host -}}{{- end -}}
{{- $own := dict
      "listen" (list (printf "%s:%d" $host (int .Values.listen.port)))
      "spool" (dict "dir" "/var/spool/waxseal")
      "log" (dict "format" "json")
      "keys" (dict "dir" "/etc/waxseal/keys" "masterKeyFile" "/etc/waxseal/secrets/master.key") -}}
{{- if eq (include "waxseal.keyringStore" .) "kubernetes" -}}
{{- $keyring := printf "%s-keyring" (include "waxseal.fullname" . | trunc 55 | trimSuffix "-") -}}
{{- $_ := set (get $own "keys") "store" (dict "kubernetes" (dict "name" $keyring)) -}}
{{- end -}}
{{- if .Values.tls.existingSecret -}}
{{- $tls := dict "certFile" "/etc/waxseal/tls/tls.crt" "keyFile" "/etc/waxseal/tls/tls.key" -}}
{{- with .Values.tls.clientCaKey -}}
{{- $_ := set $tls "clientCaFile" (printf "/etc/waxseal/tls/%s" .) -}}
{{- end -}}
{{- $_ := set $own "tls" $tls -}}
{{- end -}}
{{- if .Values.users.existingSecret -}}
{{- $_ := set $own "clients" (dict "usersFile" "/etc/waxseal/users/users") -}}
{{- end -}}
{{- mergeOverwrite $own (deepCopy .Values.config) | toYaml -}}
{{- end -}}

{{/* config.keys.store.kind: file, kubernetes or s3. */}}
{{- define "waxseal.keyringStore" -}}
{{- $kind := dig "keys" "store" "kind" "file" .Values.config -}}
{{- if ne $kind "file" -}}
{{- range list .Values.keyring.existingSecret .Values.keyring.existingConfigMap .Values.keyring.existingClaim -}}
{{- if . -}}
{{- fail (printf "keyring: config.keys.store.kind is %s, so nothing is mounted: leave existingSecret, existingConfigMap and existingClaim empty" $kind) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $kind -}}
{{- end -}}

{{/* Where the keyring's ConfigMaps are. */}}
{{- define "waxseal.keyringNamespace" -}}
{{- default .Release.Namespace (dig "keys" "store" "kubernetes" "namespace" "" .Values.config) -}}
{{- end -}}

{{/* Longer than a drain may take, or transactions are killed after their final dot. */}}
{{- define "waxseal.graceSeconds" -}}
{{- $drainMs := dig "drain" "timeoutMs" 600000 .Values.config | int64 -}}
{{- add (div (add $drainMs 999) 1000) (int64 .Values.terminationMarginSeconds) -}}
{{- end -}}

{{/* The one source of the keyring, as a volume; nothing when there is none. */}}
{{- define "waxseal.keyringVolume" -}}
{{- $given := list -}}
{{- range list .Values.keyring.existingSecret .Values.keyring.existingConfigMap .Values.keyring.existingClaim -}}
{{- if . }}{{ $given = append $given . }}{{ end -}}
{{- end -}}
{{- if gt (len $given) 1 -}}
{{- fail "keyring: give one of existingSecret, existingConfigMap and existingClaim" -}}
{{- end -}}
{{- if .Values.keyring.existingSecret }}
secret:
  secretName: {{ .Values.keyring.existingSecret }}
  defaultMode: 0440
  {{- with .Values.keyring.items }}
  items:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- else if .Values.keyring.existingConfigMap }}
configMap:
  name: {{ .Values.keyring.existingConfigMap }}
  defaultMode: 0440
  {{- with .Values.keyring.items }}
  items:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- else if .Values.keyring.existingClaim }}
persistentVolumeClaim:
  claimName: {{ .Values.keyring.existingClaim }}
  readOnly: true
{{- else }}
emptyDir:
  sizeLimit: 1Mi
{{- end }}
{{- end -}}

{{- define "waxseal.rotationServiceAccountName" -}}
{{- if .Values.rotation.serviceAccount.create -}}
{{- default (printf "%s-rotation" (include "waxseal.fullname" .) | trunc 63 | trimSuffix "-") .Values.rotation.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.rotation.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The keyring as the rotation needs it: to be written. */}}
{{- define "waxseal.rotationKeyringVolume" -}}
{{- if .Values.keyring.existingClaim }}
persistentVolumeClaim:
  claimName: {{ .Values.keyring.existingClaim }}
{{- else if ne (dig "keys" "store" "kind" "file" .Values.config) "file" }}
emptyDir:
  sizeLimit: 64Mi
{{- else -}}
{{- fail "rotation.enabled: the keyring must be writable: set keyring.existingClaim or config.keys.store" -}}
{{- end -}}
{{- end -}}
