// A storage adapter of plain Maps. The adapter that comes with the provider is one LRU of a thousand entries over all
// models, so a busy test would see live refresh tokens vanish.

const grantable = new Set(['AccessToken', 'AuthorizationCode', 'RefreshToken']);

export function mapAdapter() {
  const entries = new Map();
  const grants = new Map();
  const sessions = new Map();

  return class MapAdapter {
    constructor(model) {
      this.model = model;
    }

    #key(id) {
      return `${this.model}:${id}`;
    }

    async upsert(id, payload, expiresIn) {
      const key = this.#key(id);
      const expiresAt = typeof expiresIn === 'number' ? Date.now() + expiresIn * 1000 : Infinity;
      entries.set(key, { payload, expiresAt });
      if (this.model === 'Session') sessions.set(payload.uid, id);
      if (payload.grantId && grantable.has(this.model)) {
        if (!grants.has(payload.grantId)) grants.set(payload.grantId, new Set());
        grants.get(payload.grantId).add(key);
      }
    }

    async find(id) {
      const key = this.#key(id);
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      if (entry.expiresAt <= Date.now()) {
        entries.delete(key);
        return undefined;
      }
      return entry.payload;
    }

    async findByUid(uid) {
      return this.find(sessions.get(uid));
    }

    async findByUserCode() {
      return undefined;
    }

    async consume(id) {
      const entry = entries.get(this.#key(id));
      if (entry !== undefined) entry.payload.consumed = Math.floor(Date.now() / 1000);
    }

    async destroy(id) {
      entries.delete(this.#key(id));
    }

    async revokeByGrantId(grantId) {
      for (const key of grants.get(grantId) ?? []) {
        if (key.startsWith(`${this.model}:`)) entries.delete(key);
      }
    }
  };
}
