'use strict';

// Preload for Node programs (NODE_OPTIONS=--require=<this file>): every outgoing TLS connection
// goes through the proxy in HTTPS_PROXY, also those of clients that ignore the variable, such as fetch
// and https in Node 20, http2 and agents of a program's own. It replaces tls.connect, which all of
// them call, and leaves alone what is given a socket: that was connected by somebody who knew how.
// Without the variable it changes nothing. Trust in the proxy's CA comes from NODE_EXTRA_CA_CERTS.

const { Duplex } = require('stream');
const { syncBuiltinESMExports } = require('module');
const { domainToASCII } = require('url');
const net = require('net');
const tls = require('tls');

const MAX_ANSWER = 65536; // what a proxy may say before the tunnel stands
const LOOPBACK = ['127.0.0.0/8', '0.0.0.0', '::1', '::'];
const INSTALLED = Symbol.for('seks.shims.node');
const connectDirectly = tls.connect;

// The byte stream of a tunnel: what is written waits until the proxy has answered CONNECT with 200.
class Tunnel extends Duplex {
  constructor(proxy, target) {
    super();
    this.target = target;
    this.answer = ''; // null once the tunnel stands
    this.whenOpen = [];
    const proxySocket = connectToProxy(proxy, () => {
      const auth = proxy.username || proxy.password ? `Proxy-Authorization: ${basic(proxy)}\r\n` : '';
      proxySocket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${auth}\r\n`);
    });
    proxySocket.setNoDelay(true);
    proxySocket.on('data', (data) => (this.isOpen ? this.deliver(data) : this.answered(data)));
    proxySocket.on('end', () => (this.isOpen ? this.push(null) : this.destroy(refusal(this).error)));
    proxySocket.on('error', (error) => {
      if (!this.isOpen) error.message = `proxy ${proxy.host}: ${error.message}`;
      this.destroy(error);
    });
    proxySocket.on('close', () => proxySocket.readableEnded || this.destroy());
    this.proxySocket = proxySocket;
    this.on('error', () => {}); // the TLS socket on top reports it
  }

  get isOpen() {
    return this.answer === null;
  }

  deliver(data) {
    if (!this.push(data)) this.proxySocket.pause();
  }

  answered(data) {
    this.answer += data.toString('latin1');
    const end = this.answer.indexOf('\r\n\r\n');
    if (end < 0 || !/^HTTP\/1\.[01] 2\d\d\b/.test(this.answer)) {
      const { isWhole, error } = refusal(this);
      if (isWhole) this.destroy(error);
      return;
    }
    const early = Buffer.from(this.answer.slice(end + 4), 'latin1');
    this.answer = null;
    for (const action of this.whenOpen.splice(0)) action();
    this.emit('open');
    if (early.length) this.deliver(early);
  }

  ready(action) {
    if (this.isOpen) action();
    else this.whenOpen.push(action);
  }

  _read() {
    this.proxySocket.resume();
  }

  _write(chunk, encoding, done) {
    this.ready(() => this.proxySocket.write(chunk, encoding, done));
  }

  _final(done) {
    this.ready(() => this.proxySocket.end(done));
  }

  _destroy(error, done) {
    this.proxySocket.destroy();
    done(error);
  }
}

// The error that a proxy's answer stands for, and whether enough of it is there to tell.
function refusal({ target, answer }) {
  const [head, body] = answer.split(/\r\n\r\n([^]*)/);
  const field = (pattern) => (new RegExp(`^${pattern}[ \t]*$`, 'im').exec(head) || [])[1];
  const status = field('HTTP/1\\.[01] (\\d{3})\\b.*');
  const code = field('X-Seks-Error:[ \t]*([\\w.-]{1,64})') || codeIn(body);
  const missing = body === undefined || (!code && body.length < Number(field('Content-Length:[ \t]*(\\d+)')));
  const said = status ? `${status} ${code || ''}`.trimEnd() : 'no HTTP answer';
  const error = new Error(`proxy refused CONNECT ${target}: ${said}`);
  Object.assign(error, { code: 'ERR_PROXY_TUNNEL', statusCode: Number(status) || undefined });
  return { isWhole: !missing || answer.length > MAX_ANSWER, error };
}

function connectToProxy(proxy, connected) {
  const host = proxy.hostname.replace(/^\[|\]$/g, '');
  const options = { host, port: portOf(proxy), allowHalfOpen: true };
  if (proxy.protocol === 'http:') return net.connect(options, connected);
  return connectDirectly({ ...options, servername: net.isIP(host) ? '' : host }, connected);
}

function portOf(proxy) {
  return Number(proxy.port) || (proxy.protocol === 'http:' ? 80 : 443);
}

function basic(proxy) {
  const decoded = [proxy.username, proxy.password].map((text) => {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  });
  return `Basic ${Buffer.from(decoded.join(':')).toString('base64')}`;
}

function codeIn(body) {
  try {
    const { code } = JSON.parse(body).error;
    return typeof code === 'string' && /^[\w.-]{1,64}$/.test(code) ? code : undefined;
  } catch {
    return undefined;
  }
}

// The proxy for a connection, or null where there is none to use.
function proxyFor(host, port) {
  const value = process.env.https_proxy || process.env.HTTPS_PROXY;
  if (!value || !host || !port) return null;
  let proxy;
  try {
    proxy = new URL(value.includes('://') ? value : `http://${value}`);
  } catch {
    return null;
  }
  if (!/^https?:$/.test(proxy.protocol)) return null;
  if (host === proxy.hostname.replace(/^\[|\]$/g, '') && port === portOf(proxy)) return null;
  if (/(^|\.)localhost$/.test(host) || LOOPBACK.some((entry) => matches(entry, host, port))) return null;
  const exceptions = (process.env.no_proxy || process.env.NO_PROXY || '').toLowerCase().split(/[\s,]+/);
  return exceptions.some((entry) => entry && matches(entry, host, port)) ? null : proxy;
}

// Whether an entry of NO_PROXY (*, name, .suffix, *.suffix, address, CIDR, any with :port) names a host.
function matches(entry, host, port) {
  const [, inBrackets, plain, entryPort] = /^(?:\[(.+)\]|([^:]+))(?::(\d+))?$/.exec(entry) || [];
  const name = inBrackets || plain || entry;
  if (entryPort && Number(entryPort) !== port) return false;
  const [address, bits] = name.split('/');
  const family = net.isIP(address);
  if (family && /^\d{1,3}$/.test(bits || 128)) {
    const subnet = new net.BlockList();
    subnet.addSubnet(address, Math.min(bits || 128, family === 4 ? 32 : 128), `ipv${family}`);
    return net.isIP(host) > 0 && subnet.check(host, `ipv${net.isIP(host)}`);
  }
  const suffix = name.replace(/^\*?\./, '');
  return name === '*' || host === suffix || host.endsWith(`.${suffix}`);
}

// tls.connect takes (options[, cb]), (port[, host][, options][, cb]) and (path[, options][, cb]).
function normalize(args) {
  const [first, second, third] = args;
  const options = {};
  if (isObject(first)) Object.assign(options, first);
  else if (typeof first === 'string' && !(Number(first) >= 0)) options.path = first;
  else Object.assign(options, { port: first }, typeof second === 'string' && { host: second });
  Object.assign(options, isObject(second) ? second : isObject(third) && third);
  return [options, args.find((value) => typeof value === 'function')];
}

function isObject(value) {
  return typeof value === 'object' && value !== null;
}

function connect(...args) {
  const [options, callback] = normalize(args);
  const named = `${options.host || 'localhost'}`.replace(/^\[|\]$|\.$/g, '');
  const host = net.isIP(named) ? named : domainToASCII(named);
  const port = Number(options.port);
  const proxy = options.socket || options.path ? null : proxyFor(host, port);
  if (!proxy) return connectDirectly.apply(this, args);

  const tunnel = new Tunnel(proxy, `${net.isIPv6(host) ? `[${host}]` : host}:${port}`);
  tunnel.allowHalfOpen = Boolean(options.allowHalfOpen); // the TLS socket takes it over
  let socket;
  try {
    const { servername = net.isIP(host) ? '' : host } = options;
    socket = connectDirectly.call(tls, { ...options, servername, socket: tunnel }, callback);
  } catch (error) {
    tunnel.destroy();
    throw error;
  }
  tunnel.allowHalfOpen = true; // TLS still has its goodbye to write when the other end has gone
  // From here on as a socket that connects by itself; timeouts go by `connecting`.
  socket.connecting = true;
  tunnel.once('open', () => {
    if (socket.destroyed) return;
    socket.connecting = false;
    socket.emit('connect');
    socket.emit('ready');
  });
  socket.once('close', () => tunnel.destroy());
  if (options.timeout) socket.setTimeout(options.timeout);
  // Node passes these on to the socket below only where that is a native one.
  for (const name of ['ref', 'unref', 'setKeepAlive', 'setNoDelay']) {
    socket[name] = function (...values) {
      tunnel.proxySocket[name](...values);
      return tls.TLSSocket.prototype[name].apply(this, values);
    };
  }
  return socket;
}

if (!tls[INSTALLED] && net.BlockList) {
  Object.defineProperty(tls, INSTALLED, { value: true });
  tls.connect = connect;
  syncBuiltinESMExports();
}
