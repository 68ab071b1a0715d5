// A server: prints its URL and serves until its input ends. "ipc NAME" serves over the IPC channel, "http" over the HTTP
// channel with its own formatter, SOAP; otherwise TCP.
using System;
using System.Collections;
using System.Collections.Generic;
using System.Linq;
using System.Runtime.Remoting;
using System.Runtime.Remoting.Channels;
using System.Runtime.Remoting.Channels.Http;
using System.Runtime.Remoting.Channels.Ipc;
using System.Runtime.Remoting.Channels.Tcp;
using System.Runtime.Remoting.Lifetime;
using System.Runtime.Remoting.Messaging;
using System.Runtime.Serialization.Formatters;
using System.Threading;
using Shop;

public class Values : MarshalByRefObject, IValues
{
    public bool EchoBool(bool v) { return v; }
    public byte EchoByte(byte v) { return v; }
    public sbyte EchoSbyte(sbyte v) { return v; }
    public short EchoShort(short v) { return v; }
    public ushort EchoUshort(ushort v) { return v; }
    public int EchoInt(int v) { return v; }
    public uint EchoUint(uint v) { return v; }
    public long EchoLong(long v) { return v; }
    public ulong EchoUlong(ulong v) { return v; }
    public float EchoFloat(float v) { return v; }
    public double EchoDouble(double v) { return v; }
    public char EchoChar(char v) { return v; }
    public decimal EchoDecimal(decimal v) { return v; }
    public string EchoString(string v) { return v; }
    public DateTime EchoTime(DateTime v) { return v; }
    public TimeSpan EchoSpan(TimeSpan v) { return v; }
    public Guid EchoGuid(Guid v) { return v; }
    public byte[] EchoBytes(byte[] v) { return v; }
    public int[] EchoInts(int[] v) { return v; }
    public string[] EchoStrings(string[] v) { return v; }
    public int[][] EchoJagged(int[][] v) { return v; }
    public int[,] EchoGrid(int[,] v) { return v; }
    public List<int> EchoList(List<int> v) { return v; }
    public List<string> EchoTexts(List<string> v) { return v; }
    public Dictionary<string, int> EchoDictionary(Dictionary<string, int> v) { v["new"] = 1; v.Remove("new"); return v; }
    public Hashtable EchoTable(Hashtable v) { v["new"] = 1; v.Remove("new"); return v; }
    public ArrayList EchoArrayList(ArrayList v) { return v; }
    public object EchoObject(object v) { return v; }
    public Color EchoColor(Color v) { return v; }
    public Tiny EchoTiny(Tiny v) { return v; }
    public Point EchoPoint(Point v) { return v; }
    public Point[] EchoPoints(Point[] v) { return v; }
    public Color[] EchoColors(Color[] v) { return v; }
    public Person EchoPerson(Person v) { return v; }
    public List<Person> EchoPeople(List<Person> v) { return v; }
    public int? EchoMaybe(int? v) { return v; }
    public DateTime[] EchoTimes(DateTime[] v) { return v; }
    public decimal[] EchoDecimals(decimal[] v) { return v; }
    public Node EchoNode(Node v) { return v; }
    public Dictionary<Guid, Person> EchoRegister(Dictionary<Guid, Person> v) { return v; }
    public int[,,] EchoCube(int[,,] v) { return v; }
    public Dictionary<string, List<int>> EchoLists(Dictionary<string, List<int>> v) { return v; }
    public List<Point> EchoPointList(List<Point> v) { return v; }
    public Person[] EchoPersons(Person[] v) { return v; }
    public string[,] EchoWords(string[,] v) { return v; }
    public Dictionary<Color, Point> EchoMarks(Dictionary<Color, Point> v) { return v; }
}

public class Counter : MarshalByRefObject, IResettable
{
    int value;
    public Counter() { }
    public Counter(int start) { value = start; }
    public int Next() { return Interlocked.Increment(ref value); }
    public int Value { get { return value; } set { this.value = value; } }
    public int Reset(int value) { var before = this.value; this.value = value; return before; }

    // A short life, so that tests see its end: leases are looked at every 0.1 s.
    public override object InitializeLifetimeService()
    {
        var lease = (ILease)base.InitializeLifetimeService();
        if (lease.CurrentState == LeaseState.Initial)
        {
            lease.InitialLeaseTime = TimeSpan.FromSeconds(0.6);
            lease.RenewOnCallTime = TimeSpan.FromSeconds(0.6);
            lease.SponsorshipTimeout = TimeSpan.FromSeconds(5);
        }
        return lease;
    }
}

public class Lasting : Counter
{
    public Lasting(int start) : base(start) { }
    public override object InitializeLifetimeService() { return null; }
}

public class Talk : MarshalByRefObject, ITalk
{
    readonly List<string> notes = new List<string>();
    readonly List<ICounter> made = new List<ICounter>();

    public override object InitializeLifetimeService() { return null; }
    public string Join(string a, string b) { return a + " and " + b; }
    public string Join(string a, int b) { return string.Concat(Enumerable.Repeat(a, b)); }
    public int Divide(int a, int b, out int rest) { rest = a % b; return a / b; }
    public void Swap(ref string a, ref string b) { var c = a; a = b; b = c; }
    public void Find(string name, out Person person) { person = new Person { Name = name, Age = 33, Favourite = Color.Red }; }
    public void Note(string text) { lock (notes) notes.Add(text); }
    public string Notes() { lock (notes) return string.Join(",", notes); }
    public void Sell(int count) { throw new OutOfStock("no more than 3", 3); }
    public void Fail(string kind)
    {
        try { throw new FormatException("inner"); }
        catch (Exception inner)
        {
            if (kind == "KeyNotFound") throw new KeyNotFoundException("k", inner);
            if (kind == "Argument") throw new ArgumentException("bad", "x");
            if (kind == "Sleep") { Thread.Sleep(5000); return; }
            throw new ApplicationException(kind, inner);
        }
    }
    public ICounter NewCounter(int start) { var c = new Counter(start); made.Add(c); return c; }
    public int Drive(ICounter counter) { return counter.Next() + counter.Next(); }
    public bool IsMine(ICounter counter) { return made.Contains(counter) && !RemotingServices.IsTransparentProxy(counter); }
    public string Unknown(object anything) { return anything.GetType().FullName; }
}

public class ServedBasket : Basket
{
    readonly string owner = "nobody";
    readonly int size;
    public ServedBasket() { }
    public ServedBasket(string owner, int size) { this.owner = owner; this.size = size; }
    public override string Describe() { return owner + " " + size; }
    public override Basket Again(Basket other) { return other; }
}

public class Radio : MarshalByRefObject, IRadio
{
    readonly List<IListener> listeners = new List<IListener>();
    public event SaidHandler Heard;
    public event EventHandler Switched;
    public event EventHandler<Told> Told;
    public void Tell(string text) { if (Told != null) Told(this, new Told { Text = text }); }
    public override object InitializeLifetimeService() { return null; }
    public void Listen(IListener listener) { listeners.Add(listener); }
    public void Switch() { if (Switched != null) Switched(this, EventArgs.Empty); }
    public int Say(string text)
    {
        if (Heard != null) Heard(text);
        return listeners.Sum(l => l.Said(text));
    }
}

public class Classic : RemoteObjectDef
{
    string value;
    public override void SetValue(string v) { value = v; }
    public override string GetValue() { return value; }
}

public class Server
{
    public static void Main(string[] args)
    {
        LifetimeServices.LeaseManagerPollTime = TimeSpan.FromSeconds(0.1);
        var provider = new BinaryServerFormatterSinkProvider { TypeFilterLevel = TypeFilterLevel.Full };
        RemotingConfiguration.ApplicationName = "app";
        RemotingConfiguration.CustomErrorsMode = CustomErrorsModes.Off;
        string url;
        if (args.Length > 1 && args[0] == "ipc")
        {
            ChannelServices.RegisterChannel(new IpcChannel(new Hashtable { { "portName", args[1] } }, null, provider), false);
            url = "ipc://" + args[1];
        }
        else if (args.Length > 0 && args[0] == "http")
        {
            var soap = new SoapServerFormatterSinkProvider { TypeFilterLevel = TypeFilterLevel.Full, Next = provider };
            var channel = new HttpChannel(new Hashtable { { "port", 0 }, { "bindTo", "127.0.0.1" } }, null, soap);
            ChannelServices.RegisterChannel(channel, false);
            url = ((ChannelDataStore)channel.ChannelData).ChannelUris[0];
        }
        else
        {
            var properties = new Hashtable { { "port", 0 }, { "bindTo", "127.0.0.1" } };
            var channel = new TcpChannel(properties, null, provider);
            ChannelServices.RegisterChannel(channel, false);
            url = ((ChannelDataStore)channel.ChannelData).ChannelUris[0];
        }
        RemotingConfiguration.RegisterWellKnownServiceType(typeof(Values), "values", WellKnownObjectMode.Singleton);
        RemotingConfiguration.RegisterWellKnownServiceType(typeof(Talk), "talk", WellKnownObjectMode.Singleton);
        RemotingConfiguration.RegisterWellKnownServiceType(typeof(Counter), "once", WellKnownObjectMode.SingleCall);
        RemotingConfiguration.RegisterWellKnownServiceType(typeof(Classic), "RemoteObjectURL", WellKnownObjectMode.Singleton);
        RemotingConfiguration.RegisterWellKnownServiceType(typeof(Radio), "radio", WellKnownObjectMode.Singleton);
        RemotingConfiguration.RegisterActivatedServiceType(typeof(ServedBasket));
        RemotingConfiguration.RegisterActivatedServiceType(typeof(Counter));
        RemotingServices.Marshal(new Lasting(5), "published");
        Console.WriteLine(url + "/app");
        Console.In.ReadToEnd();
    }
}
