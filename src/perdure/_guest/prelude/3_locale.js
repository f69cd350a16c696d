// toLocale*: English (en-US) in UTC, as ECMA-402 prints it. Any other language, zone or style is
// refused by name.
(function (native, helpers, builtins) {
  "use strict";
  const { defineProperty, getPrototypeOf } = Object;
  const { uncurry, named } = helpers;
  const { isArray } = Array, { isNaN, isInteger } = Number;
  const thisNumber = uncurry(Number.prototype.valueOf);
  const thisBigInt = uncurry(BigInt.prototype.valueOf);
  const getTime = uncurry(Date.prototype.getTime);
  const plain = uncurry(Number.prototype.toString), plainBig = uncurry(BigInt.prototype.toString);
  const { Date: D, Number: Num } = globalThis;
  const refuse = (what) => {
    throw named(
      "ForbiddenGlobalError",
      `${what} is not there in a workflow, which formats in en-US and UTC only; format in a Python step`,
    );
  };

  // The locale asked for, lower case; all that is taken is English.
  const languagePart = /^[a-z]{2,3}(-[a-z]{4})?(-([a-z]{2}|\d{3}))?/;
  const extensions = /(-([a-z\d]{5,8}|\d[a-z\d]{3}))*(-[a-wyz\d](-[a-z\d]{2,8})+)*(-x(-[a-z\d]{1,8})+)?$/;
  const tagPattern = new RegExp(languagePart.source + extensions.source);
  const isTag = (tag) => tagPattern.test(tag);
  const listOf = (locales) => {
    if (typeof locales === "string") return [locales];
    return isArray(locales) ? locales : Array.from(Object(locales));
  };
  const tagOf = (item) => {
    if (typeof item !== "string" && (typeof item !== "object" || item === null)) {
      throw new TypeError("a locale is a text");
    }
    const tag = `${item}`.toLowerCase();
    if (!isTag(tag)) throw new RangeError(`Incorrect locale information provided: ${item}`);
    return tag;
  };
  const localeOf = (locales) => {
    if (locales === undefined) return "en-us";
    if (locales === null) throw new TypeError("locales cannot be null");
    const tags = listOf(locales).map(tagOf);
    return tags.length ? tags[0] : "en-us";
  };
  const isEnglish = (locale) => locale === "en-us" || locale === "en";
  const needEnglish = (locales, what) => {
    const locale = localeOf(locales);
    if (!isEnglish(locale)) refuse(`${what} for the locale ${locale}`);
  };

  // Options: each that is there is one of these values, or refused.
  const choice = (bag, name, values, usual, refused = []) => {
    const value = bag[name];
    if (value === undefined) return usual;
    const text = `${value}`;
    if (values.includes(text)) return text;
    if (refused === true || refused.includes(text)) {
      return refuse(`the option ${name}: ${JSON.stringify(text)}`);
    }
    throw new RangeError(`Value ${text} out of range for options property ${name}`);
  };
  const whole = (bag, name, low, high, usual) => {
    const value = bag[name];
    if (value === undefined) return usual;
    const number = Num(value);
    if (!(number >= low && number <= high)) throw new RangeError(`${name} value is out of range.`);
    return Math.floor(number);
  };
  const absent = (bag, names) => {
    for (const name of names) if (bag[name] !== undefined) refuse(`the option ${name}`);
  };
  const bagOf = (options) => {
    if (options === undefined) return {};
    if (options === null) throw new TypeError("options cannot be null");
    return Object(options);
  };

  // ---- numbers: the shortest decimal that reads back as the number, rounded half away from zero
  const currencies = { __proto__: null, USD: ["$", 2], EUR: ["€", 2], GBP: ["£", 2], JPY: ["¥", 0] };
  const currencyOf = (bag, style) => {
    const code = bag.currency === undefined ? undefined : `${bag.currency}`.toUpperCase();
    if (code !== undefined && !/^[A-Z]{3}$/.test(code)) {
      throw new RangeError(`Invalid currency code : ${code}`);
    }
    if (style !== "currency") return undefined;
    if (code === undefined) throw new TypeError("Currency code is required with currency style.");
    return currencies[code] ?? refuse(`the currency ${code}`);
  };
  const grouped = (bag) => {
    const value = bag.useGrouping;
    if ([undefined, true, "always", "auto", "true", "false"].includes(value)) return 1;
    if (value === false || value === null || value === 0 || value === "") return 0;
    return value === "min2" ? 2 : choice(bag, "useGrouping", [], 1);
  };
  const numberFormat = (options) => {
    const bag = bagOf(options);
    const style = choice(bag, "style", ["decimal", "percent", "currency"], "decimal", ["unit"]);
    const currency = currencyOf(bag, style);
    choice(bag, "currencyDisplay", ["symbol", "narrowSymbol"], "symbol", true);
    choice(bag, "currencySign", ["standard"], "standard", ["accounting"]);
    choice(bag, "notation", ["standard"], "standard", ["compact", "scientific", "engineering"]);
    choice(bag, "numberingSystem", ["latn"], "latn", true);
    choice(bag, "signDisplay", ["auto"], "auto", ["always", "never", "exceptZero", "negative"]);
    absent(bag, [
      "minimumSignificantDigits",
      "maximumSignificantDigits",
      "roundingIncrement",
      "roundingMode",
      "roundingPriority",
      "trailingZeroDisplay",
    ]);
    const integers = whole(bag, "minimumIntegerDigits", 1, 21, 1);
    const [lowest, highest] = currency ? [currency[1], currency[1]] : [0, style === "percent" ? 0 : 3];
    let least = whole(bag, "minimumFractionDigits", 0, 100, undefined);
    let most = whole(bag, "maximumFractionDigits", 0, 100, undefined);
    if (least === undefined) least = most === undefined ? lowest : Math.min(lowest, most);
    if (most === undefined) most = Math.max(highest, least);
    if (least > most) throw new RangeError("maximumFractionDigits value is out of range.");
    return { style, sign: currency ? currency[0] : "", integers, least, most, group: grouped(bag) };
  };
  // [digits, how many of them are before the point]
  const decimalOf = (text) => {
    const [, head, tail = "", exponent = "0"] = /^(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(text);
    return [head + tail, head.length + Num(exponent)];
  };
  const rounded = (digits, point, places) => {
    const keep = point + places;
    if (keep >= digits.length) return [digits, point];
    const up = keep >= 0 && digits[keep] >= "5";
    const list = ["0", ...(keep > 0 ? digits.slice(0, keep) : "")];
    let at = list.length - 1;
    if (up) {
      while (list[at] === "9") list[at--] = "0";
      list[at] = `${Num(list[at]) + 1}`;
    }
    return [list.join("") + (keep < 0 ? "0".repeat(-keep) : ""), point + 1];
  };
  const groupsOf = (text, least) => {
    return text.length < 3 + least ? text : text.replace(/\B(?=(\d{3})+$)/g, ",");
  };
  const formatDigits = (text, format) => {
    let [digits, point] = decimalOf(text);
    if (format.style === "percent") point += 2;
    if (point < 0) {
      digits = "0".repeat(-point) + digits;
      point = 0;
    }
    [digits, point] = rounded(digits, point, format.most);
    if (digits.length < point) digits += "0".repeat(point - digits.length);
    const head = digits.slice(0, point).replace(/^0+/, "").padStart(format.integers, "0");
    const tail = digits.slice(point, point + format.most).replace(/0+$/, "").padEnd(format.least, "0");
    return (format.group ? groupsOf(head, format.group) : head) + (tail ? `.${tail}` : "");
  };
  const formatNumber = (value, options) => {
    const format = numberFormat(options), isBig = typeof value === "bigint";
    const negative = isBig ? value < 0n : value < 0 || Object.is(value, -0);
    const text = isBig ? plainBig(negative ? -value : value) : plain(Math.abs(value));
    const body = text === "NaN" ? "NaN" : text === "Infinity" ? "∞" : formatDigits(text, format);
    return `${negative ? "-" : ""}${format.sign}${body}${format.style === "percent" ? "%" : ""}`;
  };

  // ---- dates
  const months = "January February March April May June July August September October November December"
    .split(" ");
  const days = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split(" ");
  const two = (number) => (number < 10 ? `0${number}` : `${number}`);
  const wide = ["numeric", "2-digit"];
  const dateStyles = {
    __proto__: null,
    full: { weekday: "long", month: "long", day: "numeric", year: "numeric" },
    long: { month: "long", day: "numeric", year: "numeric" },
    medium: { month: "short", day: "numeric", year: "numeric" },
    short: { month: "numeric", day: "numeric", year: "2-digit" },
  };
  const clock = { hour: "numeric", minute: "2-digit" };
  const timeStyles = {
    __proto__: null,
    full: { ...clock, second: "2-digit", timeZoneName: "long" },
    long: { ...clock, second: "2-digit", timeZoneName: "short" },
    medium: { ...clock, second: "2-digit" },
    short: clock,
  };
  const componentsOf = (bag) => {
    const hour12 = bag.hour12;
    const found = {
      weekday: choice(bag, "weekday", ["long", "short"], undefined, ["narrow"]),
      year: choice(bag, "year", wide, undefined),
      month: choice(bag, "month", [...wide, "long", "short"], undefined, ["narrow"]),
      day: choice(bag, "day", wide, undefined),
      hour: choice(bag, "hour", wide, undefined),
      minute: choice(bag, "minute", wide, undefined),
      second: choice(bag, "second", wide, undefined),
      timeZoneName: choice(bag, "timeZoneName", ["short", "long"], undefined, [
        "shortOffset",
        "longOffset",
        "shortGeneric",
        "longGeneric",
      ]),
    };
    const cycle = choice(bag, "hourCycle", ["h12", "h23"], "h12", ["h11", "h24"]);
    found.clock24 = hour12 === undefined ? cycle === "h23" : !hour12;
    found.midnight24 = false;
    return found;
  };
  const DATE = ["weekday", "year", "month", "day"], TIME = ["hour", "minute", "second"];
  const isAny = (parts, names) => names.some((name) => parts[name] !== undefined);
  const dateFormat = (options, required, defaults) => {
    const bag = bagOf(options), zone = bag.timeZone;
    choice(bag, "calendar", ["gregory"], "gregory", true);
    choice(bag, "numberingSystem", ["latn"], "latn", true);
    if (zone !== undefined && `${zone}`.toUpperCase() !== "UTC") refuse(`the time zone ${zone}`);
    absent(bag, ["era", "dayPeriod", "fractionalSecondDigits"]);
    const parts = componentsOf(bag);
    const styles = ["full", "long", "medium", "short"];
    const dateStyle = choice(bag, "dateStyle", styles, undefined);
    const timeStyle = choice(bag, "timeStyle", styles, undefined);
    if (dateStyle === undefined && timeStyle === undefined) {
      const isThere = (required !== "time" && isAny(parts, DATE)) ||
        (required !== "date" && isAny(parts, TIME));
      if (!isThere && defaults !== "time") {
        Object.assign(parts, { year: "numeric", month: "numeric", day: "numeric" });
      }
      if (!isThere && defaults !== "date") {
        Object.assign(parts, { hour: "numeric", minute: "2-digit", second: "2-digit" });
      }
      return parts;
    }
    if (isAny(parts, [...DATE, ...TIME, "timeZoneName"])) {
      throw new TypeError("dateStyle and timeStyle go with no other part of a date");
    }
    if (required === "date" && timeStyle !== undefined) throw new TypeError("Invalid option : timeStyle");
    if (required === "time" && dateStyle !== undefined) throw new TypeError("Invalid option : dateStyle");
    return { ...parts, ...dateStyles[dateStyle], ...timeStyles[timeStyle] };
  };
  const dayForms = ["m", "md", "my", "mdy", "wmd", "wmdy"]; // of weekday, month, day and year
  const numericForms = [...dayForms, "w", "d", "y"];
  const formatMonth = (number, form) => {
    if (form === "long") return months[number];
    if (form === "short") return months[number].slice(0, 3);
    return form === "2-digit" ? two(number + 1) : `${number + 1}`;
  };
  const formatDay = (date, parts) => {
    const { weekday, year, month, day } = parts;
    const have = (weekday ? "w" : "") + (month ? "m" : "") + (day ? "d" : "") + (year ? "y" : "");
    const isText = month === "long" || month === "short";
    if (!(isText ? dayForms : numericForms).includes(have)) {
      refuse(`a date of these parts alone (${DATE.filter((name) => parts[name]).join(", ")})`);
    }
    const name = days[date.getUTCDay()], full = date.getUTCFullYear(), number = date.getUTCMonth();
    const w = weekday === "short" ? name.slice(0, 3) : name;
    const d = day === "2-digit" ? two(date.getUTCDate()) : `${date.getUTCDate()}`;
    const era = full > 0 ? full : 1 - full, y = year === "2-digit" ? two(era % 100) : `${era}`;
    const m = formatMonth(number, month);
    if (have === "w") return w;
    const body = isText
      ? m + (day ? ` ${d}` : "") + (year ? `${day ? "," : ""} ${y}` : "")
      : [month && m, day && d, year && y].filter(Boolean).join("/");
    return weekday ? `${w}, ${body}` : body;
  };
  const formatClock = (date, parts) => {
    const { hour, minute, second, clock24 } = parts;
    const h = date.getUTCHours(), m = date.getUTCMinutes(), s = date.getUTCSeconds();
    if (!hour) {
      if (minute && second) return `${two(m)}:${two(s)}`;
      return `${minute ? m : s}`;
    }
    if (second && !minute) refuse("a time of hours and seconds alone");
    const digits = `${minute ? `:${two(m)}` : ""}${second ? `:${two(s)}` : ""}`;
    if (clock24) return `${h === 0 && parts.midnight24 ? "24" : two(h)}${digits}`;
    const hour12 = h % 12 || 12;
    return `${hour === "2-digit" ? two(hour12) : hour12}${digits} ${h < 12 ? "AM" : "PM"}`;
  };
  const formatDate = (date, required, defaults, options) => {
    const parts = dateFormat(options, required, defaults), time = getTime(date);
    if (isNaN(time)) return "Invalid Date";
    const moment = new D(time), hasDay = isAny(parts, DATE), hasClock = isAny(parts, TIME);
    const zone = parts.timeZoneName === "long" ? "Coordinated Universal Time" : parts.timeZoneName && "UTC";
    const day = hasDay ? formatDay(moment, parts) : "";
    const clockText = hasClock ? formatClock(moment, parts) + (zone ? ` ${zone}` : "") : zone ?? "";
    if (!day || !clockText) return day + clockText;
    const isCommon = parts.hour && !zone && (parts.minute || !parts.clock24);
    const onlyWeekday = parts.weekday && !parts.month && !parts.day && !parts.year;
    if (onlyWeekday && isCommon) return `${day} ${clockText}`;
    return `${day}${parts.month === "long" && hasClock ? " at " : ", "}${clockText}`;
  };

  // ---- text
  const sensitivities = { __proto__: null, base: 1, accent: 3, case: 9, variant: 7 };
  const collate = (a, b, options) => {
    const bag = bagOf(options);
    choice(bag, "usage", ["sort"], "sort", ["search"]);
    choice(bag, "collation", ["default"], "default", true);
    choice(bag, "caseFirst", ["false"], "false", ["upper", "lower"]);
    if (bag.ignorePunctuation) refuse("the option ignorePunctuation");
    const levels = sensitivities[choice(bag, "sensitivity", Object.keys(sensitivities), "variant")];
    if (a === b) return 0;
    const [x, y] = [normalize(a, "NFD"), normalize(b, "NFD")];
    if (x === y) return 0;
    const result = native.collate(x, y, levels, Boolean(bag.numeric));
    return result === null ? refuse("localeCompare of more than Latin letters") : result;
  };
  const normalize = uncurry(String.prototype.normalize);
  const upper = uncurry(String.prototype.toUpperCase);
  const lower = uncurry(String.prototype.toLowerCase);
  const special = ["tr", "az", "lt", "el", "hy"];
  const needPlainCase = (locales, what) => {
    const language = localeOf(locales).split("-")[0];
    if (special.includes(language)) refuse(`${what} for the locale ${language}`);
  };
  const textOf = (value, name) => {
    if (value === undefined || value === null) {
      throw new TypeError(`String.prototype.${name} called on null or undefined`);
    }
    return `${value}`;
  };

  const joining = [];
  const joined = (list, length, locales, options) => {
    if (joining.includes(list)) return "";
    joining.push(list);
    try {
      const out = [];
      for (let k = 0; k < length; k++) {
        const item = list[k];
        out.push(item === undefined || item === null ? "" : `${item.toLocaleString(locales, options)}`);
      }
      return out.join(",");
    } finally {
      joining.pop();
    }
  };
  const install = (proto, methods) => {
    for (const name of Object.keys(methods)) {
      defineProperty(proto, name, { value: methods[name], writable: true, configurable: true });
    }
  };
  install(Number.prototype, {
    toLocaleString(locales = undefined, options = undefined) {
      const value = thisNumber(this);
      needEnglish(locales, "a number");
      return formatNumber(value, options);
    },
  });
  install(BigInt.prototype, {
    toLocaleString(locales = undefined, options = undefined) {
      const value = thisBigInt(this);
      needEnglish(locales, "a number");
      return formatNumber(value, options);
    },
  });
  install(Date.prototype, {
    toLocaleString(locales = undefined, options = undefined) {
      getTime(this);
      needEnglish(locales, "a date");
      return formatDate(this, "any", "all", options);
    },
    toLocaleDateString(locales = undefined, options = undefined) {
      getTime(this);
      needEnglish(locales, "a date");
      return formatDate(this, "date", "date", options);
    },
    toLocaleTimeString(locales = undefined, options = undefined) {
      getTime(this);
      needEnglish(locales, "a time");
      return formatDate(this, "time", "time", options);
    },
  });
  install(String.prototype, {
    localeCompare(that, locales = undefined, options = undefined) {
      const text = textOf(this, "localeCompare"), other = `${that}`;
      needEnglish(locales, "localeCompare");
      return collate(text, other, options);
    },
    toLocaleUpperCase(locales = undefined) {
      const text = textOf(this, "toLocaleUpperCase");
      needPlainCase(locales, "toLocaleUpperCase");
      return upper(text);
    },
    toLocaleLowerCase(locales = undefined) {
      const text = textOf(this, "toLocaleLowerCase");
      needPlainCase(locales, "toLocaleLowerCase");
      return lower(text);
    },
  });
  const typedLength = uncurry(
    Object.getOwnPropertyDescriptor(getPrototypeOf(Uint8Array.prototype), "length").get,
  );
  install(Array.prototype, {
    toLocaleString(locales = undefined, options = undefined) {
      const list = Object(this);
      return joined(list, Math.max(0, Math.trunc(Num(list.length)) || 0), locales, options);
    },
  });
  install(getPrototypeOf(Uint8Array.prototype), {
    toLocaleString(locales = undefined, options = undefined) {
      return joined(this, typedLength(this), locales, options);
    },
  });
});
