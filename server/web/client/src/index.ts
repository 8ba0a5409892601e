export type * from "./api.js";
export { isChatError } from "./errors.js";
export { createWebSocketTransport, type WebSocketTransportOptions } from "./websocket.js";
