// A client: each argument behind the URL is a part to run. It prints one line for each fact, "name: value".
using System;
using System.Collections;
using System.Collections.Generic;
using System.Linq;
using System.Runtime.Remoting;
using System.Runtime.Remoting.Activation;
using System.Runtime.Remoting.Channels;
using System.Runtime.Remoting.Channels.Http;
using System.Runtime.Remoting.Channels.Tcp;
using System.Runtime.Remoting.Lifetime;
using System.Runtime.Remoting.Messaging;
using Shop;

public class Client
{
    static string url;

    public static int Main(string[] args)
    {
        System.Threading.Thread.CurrentThread.CurrentCulture = System.Globalization.CultureInfo.InvariantCulture;
        url = args[0];
        foreach (var part in args.Skip(1))
        {
            switch (part)
            {
                case "classic": Classic(); break;
                case "values": Values(); break;
                case "odd": Odd(); break;
                case "binary": Binary(); break;
                case "talk": Talk(); break;
                case "create": Create(); break;
                case "registered": Registered(); break;
                case "lease": Lease(); break;
                case "sponsor": Sponsor(); break;
                case "radio": Radio(); break;
                case "refuser": Refuse(); break;
                case "listening": Listening(); break;
                default: throw new Exception("no part " + part);
            }
        }
        Console.WriteLine("done: yes");
        Console.Out.Flush();
        // With an HTTP channel Mono now and then aborts or hangs while it ends, after all is done.
        if (url.StartsWith("http:")) System.Diagnostics.Process.GetCurrentProcess().Kill();
        return 0;
    }

    static void Say(string name, object value) { Console.WriteLine(name + ": " + value); }

    static void Classic()
    {
        var remote = (RemoteObjectDef)Activator.GetObject(typeof(RemoteObjectDef), url + "/RemoteObjectURL");
        remote.SetValue("000");
        Say("classic", remote.GetValue());
        remote.SetValue("héllo ✓ 😀");
        Say("unicode", remote.GetValue() == "héllo ✓ 😀");
        remote.SetValue(null);
        Say("null", remote.GetValue() == null);
        remote.SetValue(new string('x', 1000000));
        Say("long", remote.GetValue().Length);
    }

    static void Check<T>(string name, T value, Func<T, T> echo, Func<T, T, bool> same = null)
    {
        try
        {
            var back = echo(value);
            Say(name, same != null ? same(value, back) : Equals(value, back));
        }
        catch (Exception e) { Say(name, e.GetType() + " " + e.Message); }
    }

    static bool Items<T>(IEnumerable<T> a, IEnumerable<T> b) { return a.SequenceEqual(b); }

    static void Values()
    {
        var v = (IValues)Activator.GetObject(typeof(IValues), url + "/values");
        Check("bool", true, v.EchoBool);
        Check("byte", (byte)255, v.EchoByte);
        Check("sbyte", (sbyte)-128, v.EchoSbyte);
        Check("short", (short)-32768, v.EchoShort);
        Check("ushort", (ushort)65535, v.EchoUshort);
        Check("int", int.MinValue, v.EchoInt);
        Check("uint", uint.MaxValue, v.EchoUint);
        Check("long", long.MinValue, v.EchoLong);
        Check("ulong", ulong.MaxValue, v.EchoUlong);
        Check("float", 1.5f, v.EchoFloat);
        Check("double", Math.PI, v.EchoDouble);
        Check("nan", double.NaN, v.EchoDouble);
        Check("char", 'é', v.EchoChar);
        Check("decimal", 79228162514264337593543950335m, v.EchoDecimal);
        Check("small decimal", -0.0000000000000000000000000001m, v.EchoDecimal);
        Check("string", "a\0b", v.EchoString);
        Check("time", new DateTime(2024, 2, 29, 12, 30, 15, 123), v.EchoTime);
        Check("utc", DateTime.UtcNow.Date.AddSeconds(1), v.EchoTime, (a, b) => a == b && a.Kind == b.Kind);
        Check("span", new TimeSpan(-3, 4, 5, 6, 7), v.EchoSpan);
        Check("guid", Guid.NewGuid(), v.EchoGuid);
        Check("bytes", new byte[] { 0, 127, 255 }, v.EchoBytes, Items);
        Check("no bytes", new byte[0], v.EchoBytes, Items);
        Check("ints", new[] { 1, -2, 3 }, v.EchoInts, Items);
        Check("strings", new[] { "a", null, "a" }, v.EchoStrings, Items);
        Check("jagged", new[] { new[] { 1 }, null, new[] { 2, 3 } }, v.EchoJagged,
            (a, b) => b.Length == 3 && b[1] == null && Items(a[2], b[2]));
        Check("grid", new[,] { { 1, 2, 3 }, { 4, 5, 6 } }, v.EchoGrid,
            (a, b) => b.GetLength(0) == 2 && b.GetLength(1) == 3 && b[1, 2] == 6);
        Check("list", new List<int> { 1, 2, 3, 4, 5 }, v.EchoList, Items);
        Check("empty list", new List<int>(), v.EchoList, Items);
        Check("texts", new List<string> { "a", "b" }, v.EchoTexts, Items);
        Check("dictionary", new Dictionary<string, int> { { "a", 1 }, { "b", 2 } }, v.EchoDictionary,
            (a, b) => b.Count == 2 && b["a"] == 1 && b["b"] == 2);
        Check("empty dictionary", new Dictionary<string, int>(), v.EchoDictionary, (a, b) => b.Count == 0);
        Check("table", new Hashtable { { "a", 1 }, { 2, "b" }, { "n", null } }, v.EchoTable,
            (a, b) => b.Count == 3 && (int)b["a"] == 1 && (string)b[2] == "b" && b["n"] == null);
        Check("array list", new ArrayList { 1, "b", 2.5, null }, v.EchoArrayList,
            (a, b) => b.Count == 4 && (int)b[0] == 1 && (double)b[2] == 2.5);
        Check("object int", (object)5, v.EchoObject);
        Check("object text", (object)"five", v.EchoObject);
        Check("object bool", (object)true, v.EchoObject);
        Check("object time", (object)new DateTime(2000, 1, 1), v.EchoObject);
        Check("object guid", (object)Guid.NewGuid(), v.EchoObject);
        Check("object decimal", (object)1.25m, v.EchoObject);
        Check("object span", (object)TimeSpan.FromSeconds(1), v.EchoObject);
        Check("object enum", (object)Color.Blue, v.EchoObject);
        Check("object struct", (object)new Point(1, 2), v.EchoObject);
        Check("object array", (object)new object[] { 1, "b" }, v.EchoObject, (a, b) => ((object[])b).Length == 2);
        Check("color", Color.Blue, v.EchoColor);
        Check("tiny", Tiny.One, v.EchoTiny);
        Check("point", new Point(1, -2), v.EchoPoint);
        Check("points", new[] { new Point(1, 2), new Point(3, 4) }, v.EchoPoints, Items);
        Check("colors", new[] { Color.Red, Color.Blue }, v.EchoColors, Items);
        Check("maybe", (int?)5, v.EchoMaybe);
        Check("no maybe", (int?)null, v.EchoMaybe);
        Check("times", new[] { new DateTime(2001, 2, 3), DateTime.MaxValue.Date }, v.EchoTimes, Items);
        Check("decimals", new[] { 1.5m, -2m }, v.EchoDecimals, Items);
        var ann = new Person { Name = "Ann", Age = 41, Favourite = Color.Green, Home = new Point(5, 6) };
        var bob = new Person { Name = "Bob", Age = 12, Friend = ann, Favourite = Color.Red };
        ann.Friend = bob;
        ann.Children = new List<Person> { bob, bob };
        Check("person", ann, v.EchoPerson, (a, b) =>
            b.Name == "Ann" && b.Age == 41 && b.Favourite == Color.Green && b.Home.Value.Y == 6 && b.Friend.Name == "Bob"
            && b.Friend.Friend == b && b.Children.Count == 2 && b.Children[1] == b.Friend && b.Friend.Children == null);
        Check("people", new List<Person> { ann, bob }, v.EchoPeople, (a, b) => b.Count == 2 && b[0].Friend == b[1]);
        var boss = new Manager { Name = "Cy", Age = 50, Favourite = Color.Red, Level = 3, Friend = ann };
        Check("manager", (Person)boss, v.EchoPerson, (a, b) =>
            b is Manager && ((Manager)b).Level == 3 && b.Name == "Cy" && b.Age == 50 && b.Friend.Name == "Ann");
        Check("robot", (object)new Robot(1, 2) { Wheels = 4 }, v.EchoObject, (a, b) => ((Robot)b).SaidAll() == "2 1acme4");
        var key = Guid.NewGuid();
        Check("register", new Dictionary<Guid, Person> { { key, bob } }, v.EchoRegister, (a, b) => b[key].Age == 12);
        Check("cube", new[,,] { { { 1, 2 }, { 3, 4 } }, { { 5, 6 }, { 7, 8 } } }, v.EchoCube,
            (a, b) => b.Rank == 3 && b.Length == 8 && b[1, 0, 1] == 6);
        Check("lists", new Dictionary<string, List<int>> { { "a", new List<int> { 1, 2 } }, { "b", new List<int>() } }, v.EchoLists,
            (a, b) => b.Count == 2 && Items(a["a"], b["a"]) && b["b"].Count == 0);
        Check("point list", new List<Point> { new Point(1, 2), new Point(3, 4) }, v.EchoPointList, Items);
        Check("persons", new[] { ann, null, bob }, v.EchoPersons, (a, b) => b.Length == 3 && b[1] == null && b[2].Friend == b[0]);
        Check("words", new[,] { { "a", "b" }, { null, "a" } }, v.EchoWords,
            (a, b) => b.GetLength(1) == 2 && b[0, 1] == "b" && b[1, 0] == null && b[1, 1] == "a");
        Check("marks", new Dictionary<Color, Point> { { Color.Blue, new Point(7, 8) } }, v.EchoMarks,
            (a, b) => b[Color.Blue].Y == 8);
        CallContext.LogicalSetData("user", "ann");
        CallContext.LogicalSetData("person", bob);
        Check("with a context", 5, v.EchoInt);
        CallContext.FreeNamedDataSlot("user");
        CallContext.FreeNamedDataSlot("person");
        Node chain = null;
        for (int i = 0; i < 3000; i++) chain = new Node { value = i, next = chain };
        Check("chain", chain, v.EchoNode, (a, b) =>
        {
            int length = 0;
            for (var n = b; n != null; n = n.next) length++;
            return length == 3000 && b.value == 2999;
        });
    }

    // What formatters in text have trouble with.
    static void Odd()
    {
        var v = (IValues)Activator.GetObject(typeof(IValues), url + "/values");
        var all = new System.Text.StringBuilder();
        for (int c = 0; c < 0x10000; c++) if (c < 0xd800 || c > 0xdfff) all.Append((char)c);
        Check("all characters", all.ToString(), v.EchoString);
        foreach (var text in new[] { "", " ", "\r\n", "\t", "\n ", "  a  ", "a\rb\r\nc\n", "]]>", "<![CDATA[x]]>", "&#x0;", "\uf8ff0041\r", "\0", "😀" })
            Check("text " + BitConverter.ToString(System.Text.Encoding.UTF8.GetBytes(text)), text, v.EchoString);
        Check("texts", new[] { " ", null, "", "\n", null }, v.EchoStrings, Items);
        foreach (var c in new[] { '\0', ' ', '\r', '\n', '<', '\uffff', 'é' }) Check("char " + (int)c, c, v.EchoChar);
        foreach (var d in new[] { double.PositiveInfinity, double.NegativeInfinity, double.MaxValue, double.Epsilon, 0.1, 1e22 })
            Check("double " + d, d, v.EchoDouble);
        foreach (var f in new[] { float.PositiveInfinity, float.MaxValue, float.Epsilon, 0.1f }) Check("float " + f, f, v.EchoFloat);
        foreach (var t in new[] { DateTime.MinValue, new DateTime(9999, 12, 31, 23, 59, 59), new DateTime(2024, 2, 29, 1, 2, 3, 456, DateTimeKind.Local) })
            Check("time " + t.ToString("s"), t, v.EchoTime, (a, b) => a.ToUniversalTime() == b.ToUniversalTime());
        foreach (var t in new[] { TimeSpan.Zero, TimeSpan.FromDays(400), TimeSpan.FromMilliseconds(-1) }) Check("span " + t, t, v.EchoSpan);
        Check("nested", (object)new object[] { new byte[] { 1 }, new object[] { null, null }, Color.Blue, new Point(1, 2), TimeSpan.Zero, new DateTime(2000, 1, 1) },
            v.EchoObject, (a, b) => ((byte[])((object[])b)[0])[0] == 1 && (Color)((object[])b)[2] == Color.Blue && ((Point)((object[])b)[3]).Y == 2
                && ((DateTime)((object[])b)[5]).ToUniversalTime() == new DateTime(2000, 1, 1).ToUniversalTime());
        Check("nothing in an array", (object)new object[0], v.EchoObject, (a, b) => ((object[])b).Length == 0);
        Check("node of null", new Node { value = 1 }, v.EchoNode, (a, b) => b.value == 1 && b.next == null);
    }

    // The binary formatter over the HTTP channel. (Mono's client takes no third call: it does not give connections back.)
    static void Binary()
    {
        ChannelServices.RegisterChannel(new HttpClientChannel("binary", new BinaryClientFormatterSinkProvider()), false);
        var t = (ITalk)Activator.GetObject(typeof(ITalk), url + "/talk");
        int rest;
        Say("divide", t.Divide(17, 5, out rest) + " rest " + rest);
        Say("sell", Thrown(() => t.Sell(7)));
    }

    static void Create()
    {
        var attributes = new object[] { new UrlAttribute(url) };
        var ann = (Basket)Activator.CreateInstance(typeof(Basket), new object[] { "Ann", 3 }, attributes);
        Say("ann", ann.Describe());
        var none = (Basket)Activator.CreateInstance(typeof(Basket), null, attributes);
        Say("none", none.Describe());
        Say("again", ann.Again(none).Describe());
        var once = (ICounter)Activator.GetObject(typeof(ICounter), url + "/once");
        Say("single call", once.Next() + " " + once.Next());
        var published = (ICounter)Activator.GetObject(typeof(ICounter), url + "/published");
        Say("published", published.Next() + " " + published.Next());
        Say("not offered", Thrown(() => Activator.CreateInstance(typeof(RemoteObjectDef), null, attributes)));
    }

    // Types that are remote because a configuration says so: the program only says new.
    static void Registered()
    {
        RemotingConfiguration.RegisterWellKnownClientType(typeof(RemoteObjectDef), url + "/RemoteObjectURL");
        RemotingConfiguration.RegisterActivatedClientType(typeof(Basket), url);
        var remote = new RemoteObjectDef();
        remote.SetValue("000");
        Say("value", remote.GetValue());
        Say("basket", new Basket("Ann", 3).Describe());
    }

    static void Lease()
    {
        var t = (ITalk)Activator.GetObject(typeof(ITalk), url + "/talk");
        Say("singleton", RemotingServices.GetLifetimeService((MarshalByRefObject)t) == null);
        var counter = t.NewCounter(1);
        var lease = (ILease)RemotingServices.GetLifetimeService((MarshalByRefObject)counter);
        Say("state", lease.CurrentState);
        Say("initial", lease.InitialLeaseTime.TotalSeconds);
        Say("on call", lease.RenewOnCallTime.TotalSeconds);
        Say("patience", lease.SponsorshipTimeout.TotalSeconds);
        Say("left", lease.CurrentLeaseTime.TotalSeconds > 0);
        Say("renewed", Math.Round(lease.Renew(TimeSpan.FromSeconds(900)).TotalSeconds));
        Say("now", Math.Round(lease.CurrentLeaseTime.TotalSeconds));
    }

    // Says when its sponsor was asked, and stays until its input ends.
    class Keeper : MarshalByRefObject, ISponsor
    {
        public int Asked;
        public override object InitializeLifetimeService() { return null; }
        public TimeSpan Renewal(ILease lease)
        {
            Say("asked", lease.CurrentState);
            return ++Asked < 3 ? TimeSpan.FromSeconds(0.3) : TimeSpan.Zero;
        }
    }

    static void Listening()
    {
        var full = System.Runtime.Serialization.Formatters.TypeFilterLevel.Full;
        var provider = new BinaryServerFormatterSinkProvider { TypeFilterLevel = full };
        if (url.StartsWith("http:"))
        {
            var soap = new SoapServerFormatterSinkProvider { TypeFilterLevel = full, Next = provider };
            ChannelServices.RegisterChannel(new HttpChannel(new Hashtable { { "port", 0 }, { "bindTo", new Uri(url).Host } }, null, soap), false);
            return;
        }
        if (url.StartsWith("ipc:"))
        {
            var name = "client" + System.Diagnostics.Process.GetCurrentProcess().Id;
            ChannelServices.RegisterChannel(new System.Runtime.Remoting.Channels.Ipc.IpcChannel(new Hashtable { { "portName", name } }, null, provider), false);
            return;
        }
        ChannelServices.RegisterChannel(new TcpChannel(new Hashtable { { "port", 0 }, { "bindTo", new Uri(url).Host } }, null, provider), false);
    }

    static void Sponsor()
    {
        var t = (ITalk)Activator.GetObject(typeof(ITalk), url + "/talk");
        var counter = t.NewCounter(1);
        var lease = (ILease)RemotingServices.GetLifetimeService((MarshalByRefObject)counter);
        var keeper = new Keeper();
        lease.Register(keeper, TimeSpan.FromSeconds(0.3));
        Console.WriteLine("registered: yes");
        Console.In.ReadLine();
        Say("times", keeper.Asked);
        Say("after", Thrown(() => counter.Next()).Split(' ')[0]);
    }

    class Listener : MarshalByRefObject, IListener
    {
        public List<string> Heard = new List<string>();
        public override object InitializeLifetimeService() { return null; }
        public int Said(string text) { Heard.Add(text); return text.Length; }
        public void OnHeard(string text) { Heard.Add("event " + text); }
        public void OnSwitched(object sender, EventArgs e)
        {
            Heard.Add("switched " + (e.GetType() == typeof(EventArgs)) + " " + ((IRadio)sender).Say(""));
        }
    }

    static void Radio()
    {
        var radio = (IRadio)Activator.GetObject(typeof(IRadio), url + "/radio");
        var listener = new Listener();
        Say("listen", Thrown(() => radio.Listen(listener)));
        Say("say", radio.Say("hello"));
        Say("subscribe", Thrown(() => radio.Heard += listener.OnHeard));
        radio.Say("again");
        Say("unsubscribe", Thrown(() => radio.Heard -= listener.OnHeard));
        radio.Say("later");
        Say("switched", Thrown(() => radio.Switched += listener.OnSwitched));
        radio.Switch();
        Say("heard", string.Join(",", listener.Heard));
    }

    class Refuser : MarshalByRefObject, IListener
    {
        public override object InitializeLifetimeService() { return null; }
        public int Said(string text) { throw new OutOfStock(text, 7); }
    }

    static void Refuse()
    {
        ((IRadio)Activator.GetObject(typeof(IRadio), url + "/radio")).Listen(new Refuser());
        Console.WriteLine("registered: yes");
        Console.In.ReadLine();
    }

    static object Tried<T>(Func<T> function)
    {
        try { return function(); }
        catch (Exception e) { return e.Message; }
    }

    static string Thrown(Action action)
    {
        try { action(); return "nothing"; }
        catch (OutOfStock e) { return "OutOfStock " + e.Message + " " + e.Left + " " + e.ToString().Contains(".py"); }
        catch (Exception e)
        {
            if (e is System.Reflection.TargetInvocationException) e = e.InnerException;
            return e.GetType().FullName + " " + e.Message;
        }
    }

    static void Talk()
    {
        var t = (ITalk)Activator.GetObject(typeof(ITalk), url + "/talk");
        Say("join texts", t.Join("a", "b"));
        Say("join number", t.Join("a", 5));
        int rest;
        Say("divide", t.Divide(17, 5, out rest) + " rest " + rest);
        string x = "x", y = "y";
        t.Swap(ref x, ref y);
        Say("swap", x + y);
        Person person;
        t.Find("Ann", out person);
        Say("find", person.Name + " " + person.Age);
        if (!url.StartsWith("http:"))  // Mono's HTTP channel never sends one-way calls, and its connections are lost to them
        {
            t.Note("one");
            t.Note("two");
        }
        Say("notes", t.Notes());
        Say("sell", Thrown(() => t.Sell(7)));
        foreach (var kind in new[] { "ValueError", "KeyError", "ZeroDivisionError", "RuntimeError", "OSError", "Own", "TypeError" })
            Say("fail " + kind, Thrown(() => t.Fail(kind)));
        var counter = t.NewCounter(10);
        Say("counter", counter.Next() + " " + counter.Next());
        counter.Value = 100;
        Say("property", counter.Value + " " + counter.Next());
        Say("home", Tried(() => t.IsMine(counter)));
        Say("drive", Tried(() => t.Drive(counter)));
        Say("unknown", Thrown(() => t.Unknown(new Version(1, 2))));
        var none = (ITalk)Activator.GetObject(typeof(ITalk), url + "/nowhere");
        Say("nowhere", Thrown(() => none.Notes()));
        var secret = (ITalk)Activator.GetObject(typeof(ITalk), url + "/rpcx");
        Say("hidden", Thrown(() => secret.Notes()));
    }
}
