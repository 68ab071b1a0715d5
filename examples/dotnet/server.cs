// The old server, as a thousand programs have it.
using System;
using System.Runtime.Remoting;
using System.Runtime.Remoting.Channels;
using System.Runtime.Remoting.Channels.Tcp;

public class RemoteObject : RemoteObjectDef
{
    string value = "nothing yet";
    public override void SetValue(string value) { this.value = value; }
    public override string GetValue() { return value; }
}

public class Server
{
    public static void Main(string[] args)
    {
        ChannelServices.RegisterChannel(new TcpChannel(int.Parse(args[0])), false);
        RemotingConfiguration.RegisterWellKnownServiceType(typeof(RemoteObject), "RemoteObjectURL", WellKnownObjectMode.Singleton);
        Console.WriteLine("serving");
        Console.ReadLine();
    }
}
