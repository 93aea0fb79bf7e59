{{- define "hustings.name" -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}-hustings
{{- end }}

{{- define "hustings.labels" -}}
app.kubernetes.io/name: hustings
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "hustings.selector" -}}
app.kubernetes.io/name: hustings
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "hustings.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- /* What every pod has: who it runs as, its secrets, the admin port and its probes. */ -}}
{{- define "hustings.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
# Secrets are root's, and readable to this group.
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "hustings.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "hustings.environment" -}}
- {name: HUSTINGS_REDIS_FILE, value: /etc/hustings/redis/url}
- {name: HUSTINGS_SECRET_FILE, value: /etc/hustings/secrets/secret}
- {name: HUSTINGS_ADMIN_TOKEN_FILE, value: /etc/hustings/secrets/admin-token}
- {name: HUSTINGS_LOG_FORMAT, value: json}
{{- end }}

{{- /* The compiled kernels of the image, where Numba may also write: it takes no folder that it can't. */ -}}
{{- define "hustings.kernels" -}}
- name: kernels
  image: {{ include "hustings.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  securityContext:
    {{- include "hustings.containerSecurity" . | nindent 4 }}
  command: [cp, -a, /var/cache/hustings/., /kernels]
  resources:
    requests: {cpu: 100m, memory: 32Mi}
    limits: {memory: 64Mi}
  volumeMounts:
    - {name: kernels, mountPath: /kernels}
{{- end }}

{{- define "hustings.mounts" -}}
- {name: kernels, mountPath: /var/cache/hustings}
- {name: data, mountPath: /var/lib/hustings}
- {name: tmp, mountPath: /tmp}
- {name: redis, mountPath: /etc/hustings/redis, readOnly: true}
- {name: secrets, mountPath: /etc/hustings/secrets, readOnly: true}
{{- if .Values.redis.tlsSecret }}
- {name: redis-tls, mountPath: /etc/redis-tls, readOnly: true}
{{- end }}
{{- if .Values.config.existingConfigMap }}
- {name: campaigns, mountPath: /etc/hustings/campaigns, readOnly: true}
{{- end }}
{{- end }}

{{- define "hustings.volumes" -}}
- {name: kernels, emptyDir: {}}
- {name: tmp, emptyDir: {}}
- name: redis
  secret: {secretName: {{ .Values.redis.existingSecret }}, defaultMode: 0440}
- name: secrets
  secret: {secretName: {{ .Values.secrets.existingSecret }}, defaultMode: 0440}
{{- if .Values.redis.tlsSecret }}
- name: redis-tls
  secret: {secretName: {{ .Values.redis.tlsSecret }}, defaultMode: 0440}
{{- end }}
{{- if .Values.config.existingConfigMap }}
- name: campaigns
  configMap: {name: {{ .Values.config.existingConfigMap }}}
{{- end }}
{{- end }}

{{- define "hustings.liveness" -}}
httpGet: {path: /live, port: admin}
periodSeconds: 10
failureThreshold: 3
{{- end }}
