export type * from "./api.js";
export { createChat, type Parts } from "./chat.js";
export { isChatError } from "./errors.js";
export { createWebSocketTransport, type WebSocketTransportOptions } from "./websocket.js";
