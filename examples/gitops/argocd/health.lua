-- The health of an object of ours for Argo CD: Healthy, Progressing, Degraded or Suspended.
-- It belongs into the ConfigMap argocd-cm, as in argocd-cm.yaml. Argo CD gives it no other input than `obj`.
local function health(status, message)
  return {status = status, message = message}
end

if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing", "being deleted")
end

local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local ready = conditions.Ready
if obj.kind == "ServingClass" and ready == nil then
  return health("Healthy", "no operator of the whole cluster has looked at this class yet")
end
if ready == nil or status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "the operator has not looked at this spec yet")
end

local stalled, reconciling = conditions.Stalled, conditions.Reconciling
if stalled ~= nil and stalled.status == "True" then
  return health("Degraded", stalled.message)
end
if reconciling ~= nil and reconciling.status == "True" then
  return health("Progressing", reconciling.message)
end
if ready.reason == "Suspended" then
  return health("Suspended", ready.message)
end
if ready.status == "True" then
  return health("Healthy", ready.message)
end
return health("Progressing", ready.message)
